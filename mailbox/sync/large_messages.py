"""Large messages come in pieces, to a file: memory stays level, and an interrupted one goes on where it stopped.

A message ends where the server gives nothing more, and its length is then compared with RFC822.SIZE: a piece that was
cut short in the middle must not end it, nor may its second half be another message's.

A piece is as large as the connection is fast, so that each is an answer in good time: a mail of 100 MB over a slow
link takes several runs, each of which gets further.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from mailbox.errors import ProviderError
from mailbox.imap.fetch import OTHER_LENGTH
from mailbox.imap.partial_fetch import fetch_piece
from mailbox.imap.session import COMPARED_HEADER, FetchedMessage, MessageMeta
from mailbox.parsing.parse_job import header_of
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

        A message of another length than RFC822.SIZE, or whose header is not the one that the server gives by itself, is
        fetched from its beginning once more. When the same bytes come again, the server's size is wrong: they are kept,
        with a defect.

        Raises Unfinished, Gone, ProviderError for a message that does not end or comes otherwise each time,
        StorageError, and what a connection that breaks raises.
        """
        end = time.monotonic() + seconds
        self._fetch_to_its_end(on_progress, end)
        if not self._is_as_stated() and not self.file.was_begun_anew():
            self.file.begin_anew()
            self._fetch_to_its_end(on_progress, end)
        came = self.file.length()
        if not self._is_as_stated() and (not came or self.file.digest() != self.file.first_try().digest()):
            self.file.remove()
            raise ProviderError(
                f"The server states a size of {self.meta.size:,} bytes and gives {came:,}, and others when asked again."
            )
        defects = () if came == self.meta.size else (OTHER_LENGTH,)
        return FetchedMessage(self.meta, cast(bytes, self.file.mapped()), is_complete=True, defects=defects)

    def _fetch_to_its_end(self, on_progress: Callable[[], object], end: float) -> None:
        """A piece shorter than asked for ends the message only when nothing follows, or its length is as stated."""
        size, offset = FIRST_PIECE, self.file.length()
        while True:
            self.session.renew()
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
            gave_all_at_once = len(piece) > size  # a server that knows no pieces
            if gave_all_at_once or not piece or (len(piece) < size and offset == self.meta.size):
                return
            if time.monotonic() >= end:
                raise Unfinished
            size = _next_size(size, time.monotonic() - began)

    def _is_as_stated(self) -> bool:
        return self.file.length() == self.meta.size and self._has_its_header()

    def _has_its_header(self) -> bool:
        """False when the first half is of another message, to which the server had given this UID before."""
        header = header_of(cast(bytes, self.file.mapped()))
        if len(header) > COMPARED_HEADER:
            return True  # no more of it is asked for
        answer = self.session.imap.fetch_header_digests([self.meta.uid])
        return self.meta.uid not in answer or answer[self.meta.uid][1] == hashlib.sha256(header).hexdigest()


def _next_size(size: int, seconds: float) -> int:
    if seconds > SLOW_SECONDS:
        return max(size // 2, SMALLEST_PIECE)
    return min(size * 2, LARGEST_PIECE) if seconds < QUICK_SECONDS else size
