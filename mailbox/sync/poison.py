"""Which UIDs are being tried: a mail that ends the connection, or the worker, each time must not block its folder.

A batch is noted by its first UID before it is fetched, and the note goes with the commit of its rows. What is noted
again and again is tried alone, and at last put aside.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailbox.models import SyncState

ALONE_FROM = 3  # the attempt from which a message is fetched by itself
MOST_ATTEMPTS = 4  # after this many it is tried once more, when another message has just come: then it is proven
PROVEN_BAD = 100  # above every limit: the next failure puts it aside
MOST_ATTEMPTS_ASKED = 2  # attempts for a message that a person asked for
MOST_NOTED = 50


@dataclass
class Attempts:
    """The notes of one folder, as they are in its SyncState."""

    state_pk: int
    counts: dict[str, int]

    def begin(self, uid: int, *, is_alone: bool = False) -> int:
        """Note that the batch beginning with this UID is being fetched; returns which attempt it is."""
        number = self.counts.pop(str(uid), 0) + 1
        self.counts[str(uid)] = max(number, ALONE_FROM) if is_alone else number
        for oldest in list(self.counts)[:-MOST_NOTED]:
            del self.counts[oldest]
        self._save()
        return self.counts[str(uid)]

    def suspect(self, uid: int) -> None:
        """Another message came over this connection: if this one does not, it is to blame."""
        self.counts[str(uid)] = PROVEN_BAD
        self._save()

    def forgive(self, uid: int) -> None:
        """Part of it has come: what goes wrong from now on is the first that does."""
        if self.counts.get(str(uid)):
            self.counts[str(uid)] = 0
            self._save()

    def end(self, uid: int) -> None:
        """The batch is settled; call it in the transaction that settles it."""
        if self.counts.pop(str(uid), None) is not None:
            self._save()

    def _save(self) -> None:
        SyncState.objects.filter(pk=self.state_pk).update(begun=self.counts)
