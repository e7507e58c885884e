"""Errors of the raw store."""

from __future__ import annotations

from mailbox.errors import StorageError


class RawMissing(Exception):
    """The raw store lacks these bytes: a file was removed or damaged, or not restored along with the database."""


class RawSwept(StorageError):
    """The stored bytes were swept before the rows that refer to them were committed. The caller stores them again."""

    def __init__(self) -> None:
        super().__init__("The raw messages were swept before their rows were written; they are stored again.")


class RawOutOfReach(RawMissing):
    """The file cannot be read on this host now. Another host, or this one later, may be able to read it."""

    def __init__(self, segment: str, error: OSError) -> None:
        super().__init__(f"The file {segment} of the raw store cannot be read: {error}")
        self.segment = segment
