"""Speaks SMTP with one server: dataclasses in, dataclasses out; no models, no queries.

Way in: `session.SmtpSession.open(endpoint)`, then `deliver`. The classes inherit from each other, from the ground up:
`connection` (commands and replies, over the socket in `transport`), `in_step` (whether replies answer our commands),
`data_phase` (the content after DATA), `mail_transaction` (the envelope), `session` (connect, TLS, sign-in). The caller
hands in a `Watch` (`mail`), which hears of each step. DNS, connecting and reading files block, and run on threads:
`blocking_calls`.

RFC 5321 (SMTP), 2920 (PIPELINING), 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH), 6531
(SMTPUTF8), 7628 (OAUTHBEARER).
"""
