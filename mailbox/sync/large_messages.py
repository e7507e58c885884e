"""Fetches large messages in pieces, into a file: bounded memory, and an interrupted fetch goes on where it stopped.

The message ends where the server gives no more octets. Its length is then compared with RFC822.SIZE, and its header
with the header that the server gives alone: a short answer in the middle must not end the message, and the two halves
must not come from different messages.

The size of a piece follows the speed of the connection, so that each piece arrives well before a time-out. A message of
100 MB over a slow link takes several runs.
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

PIECES_FROM_BYTES = 16 * 1024 * 1024  # smaller messages are fetched with their batch
FIRST_PIECE = 1024 * 1024
SMALLEST_PIECE = 128 * 1024  # arrives before the time-out at 1 kB/s
LARGEST_PIECE = 8 * 1024 * 1024
QUICK_SECONDS, SLOW_SECONDS = 4.0, 20.0
RUN_SECONDS = 180.0  # for one message in one run; with its last piece still well below a task's time-out


class Unfinished(Exception):
    """The time of this run is over. The pieces are kept, and the next run goes on."""


@dataclass
class LargeMessage:
    """One large message of the open folder. `limit`: bytes; a longer one is refused, whatever size was stated."""

    session: AccountSession
    meta: MessageMeta
    file: PartialFile
    limit: int

    def fetch(self, on_progress: Callable[[], object]) -> list[FetchedMessage]:
        """Fetch what is still missing and return the whole message; its bytes are mapped from the file.

        An empty list when the server no longer has the message.

        on_progress: called after each piece that is on disk.

        A message whose length is not RFC822.SIZE, or whose header is not the one that the server gives alone, is
        fetched once more from its beginning. If the same bytes come again, the stated size is wrong: the message is
        kept, with the defect OTHER_LENGTH.

        Raises Unfinished; ProviderError for a message above the limit or with other bytes each time;
        StorageError; and what a broken connection raises.
        """
        end = time.monotonic() + RUN_SECONDS
        is_there = self._fetch_to_its_end(on_progress, end)
        if is_there and not self._is_as_stated() and not self.file.was_begun_anew():
            self.file.begin_anew()
            is_there = self._fetch_to_its_end(on_progress, end)
        if not is_there:
            self.file.remove()
            return []
        came = self.file.length()
        if not self._is_as_stated() and (not came or self.file.digest() != self.file.first_try().digest()):
            self.file.remove()
            raise ProviderError(
                f"The server states a size of {self.meta.size:,} bytes and gives {came:,}, and others when asked again."
            )
        defects = () if came == self.meta.size else (OTHER_LENGTH,)
        raw = cast(bytes, self.file.mapped())
        return [FetchedMessage(self.meta, raw, is_complete=True, defects=defects, path=str(self.file.path))]

    def _fetch_to_its_end(self, on_progress: Callable[[], object], end: float) -> bool:
        """Fetch pieces up to the end of the message; return whether the server still has it.

        A piece shorter than asked for is not enough: the next must be empty, or the length must be as stated.
        """
        size, offset = FIRST_PIECE, self.file.length()
        while True:
            self.session.lease.renew()
            began = time.monotonic()
            piece = fetch_piece(self.session.imap, self.meta.uid, offset, size)
            if piece is None:
                return False
            if offset + len(piece) > self.limit:
                self.file.remove()
                raise ProviderError(
                    f"The server states a size of {self.meta.size:,} bytes and sends more than {self.limit:,}."
                )
            if piece:
                self.file.put(offset, piece)
                offset += len(piece)
                on_progress()
            gave_all_at_once = len(piece) > size  # the server ignores <offset.length> (RFC 3501, 6.4.5)
            if gave_all_at_once or not piece or (len(piece) < size and offset == self.meta.size):
                return True
            if time.monotonic() >= end:
                raise Unfinished
            size = _next_size(size, time.monotonic() - began)

    def _is_as_stated(self) -> bool:
        """Whether the file is as long as stated and begins with the header of this message, rather than of one that had
        this UID before."""
        if self.file.length() != self.meta.size:
            return False
        header = header_of(cast(bytes, self.file.mapped()))
        if len(header) > COMPARED_HEADER:
            return True  # fetch_header_digests() reads no more than that, so it cannot be compared
        answer = self.session.imap.fetch_header_digests([self.meta.uid])
        return self.meta.uid not in answer or answer[self.meta.uid][1] == hashlib.sha256(header).hexdigest()


def _next_size(size: int, seconds: float) -> int:
    if seconds > SLOW_SECONDS:
        return max(size // 2, SMALLEST_PIECE)
    return min(size * 2, LARGEST_PIECE) if seconds < QUICK_SECONDS else size
