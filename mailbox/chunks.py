"""Parts of a list, for commands, statements and transactions that must not be too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in order, in parts of `size`; the last may be shorter. No part of no items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
