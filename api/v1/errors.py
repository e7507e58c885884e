"""How an operation says that it was not done; `site` turns each into an answer."""

from __future__ import annotations

from outbox.api import ApiResponse


class NotDone(Exception):
    """A service answered that it was not done; `response` says why."""

    def __init__(self, response: ApiResponse) -> None:
        super().__init__(response.error.message if response.error else "")
        self.response = response


class Changed(Exception):
    """What was to be changed is no longer as the program saw it: 412."""


class Conflict(Exception):
    """The request is right, and does not fit to how things are now: 409. str() is a sentence."""
