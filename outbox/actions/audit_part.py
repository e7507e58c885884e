"""What one click does to many mails is recorded as parts of one entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_click: ContextVar[int | None] = ContextVar("audit_click", default=None)


def click() -> int | None:
    """The key of the audit entry under which entries are recorded now."""
    return _click.get()


@contextmanager
def parts_of(entry_pk: int | None) -> Iterator[None]:
    token = _click.set(entry_pk)
    try:
        yield
    finally:
        _click.reset(token)
