"""Every operation of the API by its path, for what has no method of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from prx_email_client.calls import Calls, made

T = TypeVar("T")
SORTED = ("/accounts", "/people", "/storage")  # lists by name, whose cursor is `after`; that of all others is `before`


@dataclass(frozen=True)
class Answer:
    """What the site answered. `data`: its JSON. `etag`: for `if_match`; "" for what was not read by get()."""

    data: Any
    etag: str = ""

    def made(self, kind: type[T]) -> T:
        """The data as an instance of a dataclass, one of this package or your own; members that it lacks are left out.

        A member of it that the site does not send is a KeyError.
        """
        return made(kind, self.data)

    def rows(self, kind: type[T]) -> list[T]:
        """The rows of a list that has no pages, as instances of a dataclass."""
        items = self.data if isinstance(self.data, list) else self.data["items"]
        return [made(kind, each) for each in items]


class Resources(Calls):
    """Operations by their path below /api/v1, as openapi.json describes them: client.get("/drafts/7").

    All raise ClientError, and are repeated as everything here: after a lost answer a PUT, PATCH or POST that the first
    try has done already may be refused by the second one (409, 412, 422). A POST that creates something does so once.
    """

    def get(self, path: str, **query: Any) -> Answer:
        """What is at the path, with its ETag."""
        answer = self._answer("GET", path, params=query)
        return Answer(answer.json()["data"], answer.headers.get("ETag", ""))

    def content(self, path: str, **query: Any) -> bytes:
        """The bytes of a file: the source of a mail, an attachment, an export, a CSV."""
        return self._answer("GET", path, params=query).content

    def pages(self, path: str, kind: type[T], **query: Any) -> Iterator[T]:
        """The rows of a list with pages, which are fetched while the iterator is consumed.

        kind: the dataclass of a row; dict for the JSON itself.
        """
        cursor = "after" if path in SORTED else "before"
        return (made(kind, each) for each in self._pages(path, cursor, **query))

    def post(self, path: str, body: Any = None, *, key: str = "", if_match: str = "") -> Answer:
        """Create something, or act on it. key: the idempotency key; without it each call has one of its own."""
        return self._change("POST", path, body, if_match, {"Idempotency-Key": key or str(uuid.uuid4())})

    def put(self, path: str, body: Any, *, if_match: str = "") -> Answer:
        """Replace something. if_match: the ETag that it must still have, else Refused with the status 412."""
        return self._change("PUT", path, body, if_match, {})

    def patch(self, path: str, body: Any, *, if_match: str = "") -> Answer:
        """Change the given members. if_match: as for put()."""
        return self._change("PATCH", path, body, if_match, {})

    def delete(self, path: str, *, if_match: str = "") -> None:
        """Remove something. if_match: as for put()."""
        self._ask_once_gone(path, headers=_condition(if_match))

    def _change(self, method: str, path: str, body: Any, if_match: str, headers: dict[str, str]) -> Answer:
        given: dict[str, Any] = {} if body is None else {"json": body}
        return Answer(self._ask(method, path, headers=headers | _condition(if_match), **given))


def _condition(if_match: str) -> dict[str, str]:
    return {"If-Match": if_match} if if_match else {}
