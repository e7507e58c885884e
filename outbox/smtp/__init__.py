"""Speaks SMTP with one server: dataclasses in, dataclasses out; no models, no queries.

Way in: `session.SmtpSession.open(endpoint)`, then `deliver`. The only package that knows smtplib's constants and
socket handling.

RFC 5321 (SMTP), 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH), 6531 (SMTPUTF8).
"""
