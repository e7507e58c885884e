"""The HTTP API under /api/v1/: JSON over the services that the pages use, for programs with a token.

`site` puts it together and turns failures into answers (`problems`); `finishing` is what holds for every address. The
operations: `accounts`, `aliases`, `folders`, `mail`, `message_actions`, `sending`, `outbox`, `bulk`, `suppression`,
`policy`, `features`, `operating` and `events`; their shapes: `answers`, `account_shapes`, `outbox_shapes`. What they
share: `common` (which rows a token sees), `conditional` (ETag and If-Match), `idempotency`, `files` (ranges).

A query finds rows only through `Caller.accounts()`, so that nothing of another account is ever answered. It speaks
RFC 9110 (conditions, ranges), RFC 9457 (problems), RFC 3339 (times) and draft-ietf-httpapi-idempotency-key-header.
"""
