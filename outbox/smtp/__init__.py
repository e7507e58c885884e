"""Speaks SMTP with one server: dataclasses in, dataclasses out; no models, no queries.

Way in: `session.SmtpSession.open(endpoint)`, then `deliver`. The classes inherit from each other, from the ground up:
`transport` (the socket), `connection` (commands and replies), `data_phase` (the content after DATA), `in_step` (whether
replies answer our commands), `mail_transaction` (the envelope), `session` (connect, TLS, sign-in). DNS, connecting and
reading files block, and run on threads: `blocking_calls`.

RFC 5321 (SMTP), 2920 (PIPELINING), 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH), 6531
(SMTPUTF8), 7628 (OAUTHBEARER).
"""
