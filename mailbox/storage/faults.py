"""What the raw store cannot do."""

from __future__ import annotations

from mailbox.errors import StorageError


class RawMissing(Exception):
    """The raw store does not have these bytes: a file was removed, damaged or not restored with the database."""


class RawSwept(StorageError):
    """What was stored has been removed before the rows that refer to it were committed: store it again."""

    def __init__(self) -> None:
        super().__init__("The raw messages were swept before their rows were written; they are stored again.")


class RawOutOfReach(RawMissing):
    """Its file is not to be had here and now; another machine, or this one later, may well have it."""

    def __init__(self, segment: str, error: OSError) -> None:
        super().__init__(f"The file {segment} of the raw store cannot be read: {error}")
        self.segment = segment
