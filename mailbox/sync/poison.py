"""Finds messages that break the connection, or kill the worker, each time: one must not block its folder for ever.

Before a batch is fetched its first UID is noted in the database; the note is removed by the commit of the batch. A
batch that was noted several times is fetched message by message, and the message at fault goes to quarantine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from django.db import DatabaseError

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, StorageError
from mailbox.models import SyncState

ALONE_FROM = 3  # from this attempt on messages are fetched one by one
MOST_ATTEMPTS = 4  # then it gets one last attempt, right after another message was fetched: its failure is the proof
PROVEN_BAD = 100  # count of a message in its last attempt; found again, it goes to quarantine
MOST_ATTEMPTS_ASKED = 2  # attempts for a message that a person asked for
MOST_NOTED = 50  # UIDs of one folder
BREAKS_CONNECTION = (
    "Fetching this message ended the connection to the server, or stopped the worker, each time it was tried."
)


@dataclass
class Attempts:
    """The notes of one folder, saved in `SyncState.begun`: first UID of a batch -> number of attempts.

    noted: the first UIDs of the batches that this run began.
    """

    state_pk: int
    counts: dict[str, int]
    noted: set[int] = field(default_factory=set)

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Remove this run's notes when our disk or database failed, or the lease was lost: no message's fault."""
        try:
            yield
        except (StorageError, Busy, *DATABASE_TROUBLE):
            with suppress(DatabaseError):
                for uid in self.noted:
                    self.end(uid)
            raise

    def begin(self, uid: int, *, is_alone: bool = False) -> int:
        """Note that the batch beginning with this UID is being fetched; return the number of the attempt.

        `is_alone`: the message is one of those fetched one by one because their batch failed.
        """
        number = self.counts.pop(str(uid), 0) + 1
        self.counts[str(uid)] = max(number, ALONE_FROM) if is_alone else number
        for oldest in list(self.counts)[:-MOST_NOTED]:
            del self.counts[oldest]
        self.noted.add(uid)
        self._save()
        return self.counts[str(uid)]

    def suspect(self, uid: int) -> None:
        """Note the last attempt: another message has just come over this connection, so a failure is this one's."""
        self.counts[str(uid)] = PROVEN_BAD
        self._save()

    def end(self, uid: int) -> None:
        """Remove the note: in the transaction that stores the batch, or when a piece of the message has arrived."""
        # Saved even if it is not there: a transaction that removed it before may have been rolled back.
        self.counts.pop(str(uid), None)
        self._save()

    def reason(self) -> str:
        """The reason for quarantining a message that breaks each connection, with the folder's last error."""
        words = SyncState.objects.filter(pk=self.state_pk).values_list("last_error", flat=True).first()
        return f"{BREAKS_CONNECTION} The last time: {words}" if words else BREAKS_CONNECTION

    def _save(self) -> None:
        SyncState.objects.filter(pk=self.state_pk).update(begun=self.counts)
