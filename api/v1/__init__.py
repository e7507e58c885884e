"""The HTTP API under /api/v1/: JSON over the services that the pages use, for programs with a token.

`site` puts it together and turns failures into answers, `answers` holds the shapes, `mail` and `sending` the
operations. A query finds rows only through `Caller.accounts()`, so that nothing of another account is ever answered.
"""
