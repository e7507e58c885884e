"""Large messages come in pieces, to a file: memory stays level, and an interrupted one goes on where it stopped.

A piece is as large as the connection is fast, so that each is an answer in good time: a mail of 100 MB over a slow
link takes several runs, each of which gets further.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from mailbox.errors import ProviderError
from mailbox.imap.partial_fetch import fetch_piece
from mailbox.imap.session import FetchedMessage, MessageMeta
from mailbox.storage.partial_files import PartialFile
from mailbox.sync.account_session import AccountSession

PIECES_FROM_BYTES = 16 * 1024 * 1024  # smaller ones are fetched at once
FIRST_PIECE = 1024 * 1024
SMALLEST_PIECE = 128 * 1024  # an answer of this size is in time at 1 kB/s
LARGEST_PIECE = 8 * 1024 * 1024
QUICK_SECONDS, SLOW_SECONDS = 4.0, 20.0
RUN_SECONDS = 180.0  # of one run; well below a task's time-out with the last piece


class Unfinished(Exception):
    """The time of this run is over; what has come is kept, and the next run goes on."""


class Gone(Exception):
    """The server no longer has the message."""


@dataclass
class LargeMessage:
    """One large message of an open folder. `limit`: bytes; more than that is refused, whatever the server stated."""

    session: AccountSession
    meta: MessageMeta
    file: PartialFile
    limit: int

    def fetch(self, on_progress: Callable[[], object], *, seconds: float = RUN_SECONDS) -> FetchedMessage:
        """The whole message, its bytes mapped from the file. `on_progress` is called after each piece that is on disk.

        Raises Unfinished, Gone, ProviderError for a message that does not end, StorageError, and what a connection
        that breaks raises.
        """
        end, size, offset = time.monotonic() + seconds, FIRST_PIECE, self.file.length()
        while True:
            self.session.renew(size)
            began = time.monotonic()
            piece = fetch_piece(self.session.imap, self.meta.uid, offset, size)
            if piece is None:
                self.file.remove()
                raise Gone
            if offset + len(piece) > self.limit:
                self.file.remove()
                raise ProviderError(
                    f"The server states a size of {self.meta.size:,} bytes and sends more than {self.limit:,}."
                )
            if piece:
                self.file.put(offset, piece)
                offset += len(piece)
                on_progress()
            if len(piece) != size:  # fewer: the end; more: a server without pieces gave all of it
                return FetchedMessage(self.meta, cast(bytes, self.file.mapped()), is_complete=True)
            if time.monotonic() >= end:
                raise Unfinished
            size = _next_size(size, time.monotonic() - began)


def _next_size(size: int, seconds: float) -> int:
    if seconds > SLOW_SECONDS:
        return max(size // 2, SMALLEST_PIECE)
    return min(size * 2, LARGEST_PIECE) if seconds < QUICK_SECONDS else size
