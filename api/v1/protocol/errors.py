"""Exceptions of operations that were not done; `site` turns each into a response."""

from __future__ import annotations

from outbox.api import ApiResponse


class NotDone(Exception):
    """A call of outbox.api failed; `response` says why."""

    def __init__(self, response: ApiResponse) -> None:
        super().__init__(response.error.message if response.error else "")
        self.response = response


class Changed(Exception):
    """The resource no longer has the ETag of If-Match: status 412."""


class Conflict(Exception):
    """The request is valid, but the present state does not allow it: status 409. str() is a sentence."""
