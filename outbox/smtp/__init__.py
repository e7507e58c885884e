"""Speaks SMTP with one server: dataclasses in, dataclasses out; no models, no queries.

Way in: `session.SmtpSession.open(endpoint)`, then `deliver`. From the ground up: `transport` (the socket),
`connection` (commands and replies), `data_phase` (what follows DATA), `mail_transaction` (the envelope), `session` (how
it begins). Names, connecting and files block, and have threads: `blocking_calls`.

RFC 5321 (SMTP), 2920 (PIPELINING), 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH), 6531
(SMTPUTF8), 7628 (OAUTHBEARER).
"""
