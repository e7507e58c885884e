"""What all operations share, whatever they are about: the shape of answers and problems, access, conditions, keys.

`answers` (the envelope, pages, fields), `access` (the caller, and which rows a token may see), `conditional` (ETag and
If-Match), `idempotency`, `errors`, `refusals`, `problems` (failures as RFC 9457), `files` (ranges), `large_bodies`,
`rendering`, `described` (the schema), `uses` (last use of tokens), `finishing` (wraps every operation).
"""
