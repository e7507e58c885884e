"""The HTTP API under /api/v1/: JSON over the services that the pages use, for programs with a token.

`site` assembles it and turns exceptions into responses (`problems`, `refusals`); `finishing` wraps every operation.
Operations: `accounts`, `autoconfig`, `aliases`, `folders`, `message_lists`, `mail`, `message_actions`, `attachments`,
`stored_mail`, `sending`, `drafts`, `saved_replies`, `outbox`, `bulk`, `suppression`, `policy`, `features`, `operating`,
`events`, `exports`, `people`, `program_tokens`, `webhooks`, `alert_rules` and `storage`; their schemas: `answers`,
`account_shapes`, `draft_shapes`, `outbox_shapes`. Shared: `common` (which rows a token may see), `conditional` (ETag,
If-Match), `idempotency`, `files` (ranges), `large_bodies` (requests with a mail).

A query finds rows only through `Caller.accounts()`, so that a token never gets data of other accounts. RFC 9110
(conditional requests, ranges), 9457 (problem details), 3339 (times), draft-ietf-httpapi-idempotency-key-header.
"""
