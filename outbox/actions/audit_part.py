"""Groups audit entries: those of one click on many mails refer to one parent entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_click: ContextVar[int | None] = ContextVar("audit_click", default=None)


def click() -> int | None:
    """The pk of the parent for audit entries that are recorded now, or None."""
    return _click.get()


@contextmanager
def parts_of(entry_pk: int | None) -> Iterator[None]:
    """Within the block, entries recorded in this context become parts of the entry with this pk; None: of no entry."""
    token = _click.set(entry_pk)
    try:
        yield
    finally:
        _click.reset(token)
