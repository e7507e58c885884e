"""Groups audit entries: those of one click on many rows refer to one parent entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.contrib.auth.models import User

from mailbox.models.access import AuditEntry

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


@dataclass
class ClickOnMany:
    """How many rows a click has changed."""

    done: int = 0


@contextmanager
def one_click(user: User | None, verb: str, chosen: int) -> Iterator[ClickOnMany]:
    """Within the block, entries become parts of one new entry; it is removed again if nothing was changed.

    chosen: how many rows the click was about. The block sets `done`.
    """
    entry, click = AuditEntry.objects.create(user=user, verb=verb), ClickOnMany()
    with parts_of(entry.pk):
        yield click
    if click.done:
        AuditEntry.objects.filter(pk=entry.pk).update(detail=f"{click.done} of {chosen}")
    else:
        entry.delete()
