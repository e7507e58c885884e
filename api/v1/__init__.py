"""The HTTP API under /api/v1/: JSON over the services that the pages use, for programs with a token.

`site` assembles it and turns exceptions into responses. Operations, by what they are about: `accounts`, `messages`,
`outbox`, `administration`; retention, personal data and the machines have theirs in `prx_email_site`. `protocol` is
what all share.

A query finds rows only through `Caller.accounts()`, so that a token never gets data of other accounts. RFC 9110
(conditional requests, ranges), 9457 (problem details), 3339 (times), draft-ietf-httpapi-idempotency-key-header.
"""
