"""How many connections and how many bytes of mails there are at once, in one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class SubmissionLimits:
    """Used by the event loop's thread only."""

    connections: int = 200
    of_an_address: int = 50
    signed_out: int = 100  # so that strangers leave room for those who sign in
    bytes_at_once: int = 256 * 1024 * 1024
    _of: Counter[str] = field(default_factory=Counter)
    _signed_in: int = 0
    _bytes: int = 0
    writing: int = 0  # mails that are being written down at this moment

    def enter(self, address: str) -> bool:
        """Count a connection; False, and not counted, when there are too many."""
        total = self._of.total()
        is_full = total >= self.connections or total - self._signed_in >= self.signed_out
        if is_full or self._of[address] >= self.of_an_address:
            return False
        self._of[address] += 1
        return True

    def sign_in(self) -> None:
        self._signed_in += 1

    def leave(self, address: str, *, was_signed_in: bool) -> None:
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]
        self._signed_in -= was_signed_in

    def reserve(self, size: int) -> bool:
        """Room for so many more bytes of a mail; False when all of it is in use."""
        if self._bytes + size > self.bytes_at_once:
            return False
        self._bytes += size
        return True

    def free(self, size: int) -> None:
        self._bytes -= size

    @contextmanager
    def write(self) -> Iterator[None]:
        self.writing += 1
        try:
            yield
        finally:
            self.writing -= 1
