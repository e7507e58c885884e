"""How an operation says that a service refused; `site` turns it into an answer."""

from __future__ import annotations

from outbox.api import ApiResponse


class NotDone(Exception):
    """A service answered that it was not done; `response` says why."""

    def __init__(self, response: ApiResponse) -> None:
        super().__init__(response.error.message if response.error else "")
        self.response = response
