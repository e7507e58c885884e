"""A storage over two raw stores, while mail is moved from one to the other (PRX_EMAIL_RAW_ALSO_READ): see `moving`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from django.core.files.base import File
from django.core.files.storage import Storage, storages

from mailbox.storage.durable_files import MAPPED_FROM, read_part
from mailbox.storage.sweeping import old_files

T = TypeVar("T")


class TwoStores(Storage):
    """Writes to `present`; reads from it, else from `other`. Both are given in the form of entries of STORAGES."""

    def __init__(self, present: dict[str, Any], other: dict[str, Any]) -> None:
        self.present, self.other = storages.create_storage(present), storages.create_storage(other)
        sizes = [getattr(each, "copied_from", None) for each in (self.present, self.other)]
        self.copied_from = min((size for size in sizes if size is not None), default=MAPPED_FROM)

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` of a file in either store. Raises OSError, FileNotFoundError if neither has it."""
        return self._first(lambda store: read_part(store, name, offset, length))

    def old_files(self, cutoff: datetime) -> Iterator[tuple[str, int]]:
        """Name and size of files older than the cutoff; one that lies in both stores comes twice."""
        for store in (self.present, self.other):
            yield from old_files(store, cutoff)

    def _first(self, ask: Callable[[Storage], T]) -> T:
        """Ask the present store, and the other one only on FileNotFoundError: an unreachable store is an error."""
        try:
            return ask(self.present)
        except FileNotFoundError:
            return ask(self.other)

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        return self._first(lambda store: store.open(name, mode))

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Write to the present store. Raises OSError."""
        return self.present.save(name, content, max_length)

    def delete(self, name: str) -> None:
        """Delete from both. Raises OSError.

        The other store is asked first, as it may be read-only: then it refuses to delete also what it does not have,
        and no host could write and remove the file of `store_check`.
        """
        self.present.delete(name)
        if self.other.exists(name):
            self.other.delete(name)

    def exists(self, name: str) -> bool:
        """Whether either store has it."""
        return self.present.exists(name) or self.other.exists(name)

    def size(self, name: str) -> int:
        """In bytes. Raises OSError, FileNotFoundError when neither has it."""
        return self._first(lambda store: store.size(name))

    def get_modified_time(self, name: str) -> datetime:
        return self._first(lambda store: store.get_modified_time(name))
