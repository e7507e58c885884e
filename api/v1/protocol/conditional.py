"""Conditional requests: an ETag for each response, and If-Match (RFC 9110 13.1.1) for changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.http import parse_etags
from pydantic import Field

from api.v1.protocol.answers import Answer
from api.v1.protocol.errors import Changed
from api.v1.protocol.rendering import Renderer

# For the schema of operations that heed it.
IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "The ETag that it must still have; else 412, and nothing is changed.",
        }
    ]
}

# A member of what is answered without all of its columns.
REVISION: Any = Field(description="Changes with what is not shown, such as a secret, so that the ETag does.")


def revision_of(*hidden: object) -> str:
    """The `revision` of columns that no answer shows. Keyed, so that a short secret cannot be guessed from it."""
    return salted_hmac("api.revision", repr(hidden), algorithm="sha256").hexdigest()[:16]


def etag_of(content: bytes) -> str:
    """The strong ETag (RFC 9110 8.8.3) of a response with this content, with its quotation marks."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def rendered(answer: Answer[Any], status: int = 200) -> bytes:
    """The body of this answer, as ninja renders it."""
    return Renderer().render(None, answer.model_dump(), response_status=status)  # type: ignore[arg-type]


@contextmanager
def unchanged(request: HttpRequest, rows: QuerySet[Any], read: Callable[[], Answer[Any]]) -> Iterator[None]:
    """A context for a change: raises Changed if the request has If-Match and `read` now returns another ETag.

    The rows are locked from the comparison to the end of the block, so that they cannot change between.
    """
    wanted = request.headers.get("If-Match", "")
    if not wanted:
        yield
        return
    with transaction.atomic():
        list(rows.select_for_update(of=("self",)).values_list("pk"))
        # A weak ETag never matches here.
        if wanted.strip() != "*" and etag_of(rendered(read())) not in parse_etags(wanted):
            raise Changed
        yield


@contextmanager
def changing(request: HttpRequest, rows: QuerySet[Any], read: Callable[[], Answer[Any]]) -> Iterator[None]:
    """`unchanged`, with the rows locked also where there is no If-Match.

    For changes of some members: read the row within the block, so that the members that are not given keep their
    present values, not those before a concurrent change.
    """
    with transaction.atomic(), unchanged(request, rows, read):
        list(rows.select_for_update(of=("self",)).values_list("pk"))
        yield
