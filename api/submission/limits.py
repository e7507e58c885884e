"""Limits of connections, of a mail, and of bytes of mails in memory, for one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class SubmissionLimits:
    """The limits and the present counts. For use in the event loop's thread only."""

    connections: int = 200
    of_an_address: int = 50
    signed_out: int = 100  # connections that have not signed in: strangers must leave room for programs
    bytes_at_once: int = 256 * 1024 * 1024
    largest_mail: int = 50 * 1024 * 1024
    _of: Counter[str] = field(default_factory=Counter)
    _signed_in: int = 0
    _bytes: int = 0
    writing: int = 0  # mails that are being saved now

    def enter(self, address: str) -> bool:
        """Count a connection; False when there are too many, and it is not counted."""
        total = self._of.total()
        is_full = total >= self.connections or total - self._signed_in >= self.signed_out
        if is_full or self._of[address] >= self.of_an_address:
            return False
        self._of[address] += 1
        return True

    def sign_in(self) -> None:
        """Note that a connection that was counted has signed in."""
        self._signed_in += 1

    def leave(self, address: str, *, was_signed_in: bool) -> None:
        """Stop counting a connection that enter() counted."""
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]
        self._signed_in -= was_signed_in

    def make_room_for(self, size: int) -> None:
        """Take mails of up to `size` bytes from now on; larger ones than before at least as one at a time."""
        self.largest_mail = max(self.largest_mail, size)
        self.bytes_at_once = max(self.bytes_at_once, size)

    def reserve(self, size: int) -> bool:
        """Reserve `size` more bytes for a mail; False when the limit is reached."""
        if self._bytes + size > self.bytes_at_once:
            return False
        self._bytes += size
        return True

    def free(self, size: int) -> None:
        """Give back bytes that reserve() reserved."""
        self._bytes -= size

    @contextmanager
    def write(self) -> Iterator[None]:
        """Count a mail in `writing` during the block."""
        self.writing += 1
        try:
            yield
        finally:
            self.writing -= 1
