"""Fetches a folder's messages in batches, as a pipeline: fetch, parse, and commit (batch_writer) at the same time."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import DatabaseError, connection

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, MailError, StorageError
from mailbox.imap.session import MessageMeta
from mailbox.models import MessagePlace, SyncState
from mailbox.parsing import pool as parsing_pool
from mailbox.sync import plan
from mailbox.sync.batch_writer import BatchWriter
from mailbox.sync.large_messages import PIECES_FROM_BYTES
from mailbox.sync.poison import ALONE_FROM, MOST_ATTEMPTS, PROVEN_BAD
from mailbox.sync.prefetch import BATCH_COUNT, Batch, MessageBudget, MessageSource, Prefetcher, fetch_thread, fetching

AHEAD = 1  # batches in the parsers while the next is fetched and the one before is committed
BREAKS_CONNECTION = (
    "Fetching this message ended the connection to the server, or stopped the worker, each time it was tried."
)


def breaks_connection(state_pk: int) -> str:
    """The reason for quarantining a message that breaks each connection, with the folder's last error."""
    words = SyncState.objects.filter(pk=state_pk).values_list("last_error", flat=True).first()
    return f"{BREAKS_CONNECTION} The last time: {words}" if words else BREAKS_CONNECTION


@dataclass
class FolderRun(BatchWriter):
    """One folder being synced on an open connection."""

    _alone_left: int = 0  # messages still to be fetched one by one, to find the one that breaks the connection

    def fetch(
        self,
        walk: plan.Walk | None,
        uids: Iterable[int],
        budget: MessageBudget | None = None,
        known: Mapping[int, MessageMeta | None] | None = None,
    ) -> bool:
        """Fetch and store UIDs of the walk, in its order, batch by batch; each batch moves the cursor when it commits.

        A pipeline: while one batch is fetched, the one before is parsed, and the one before that is committed.

        walk: None for messages within the stretch, which leaves the cursors where they are.
        budget: None fetches all of them.
        known: UID -> flags, date and size, if the server was asked already; None for a UID that it did not answer.
        Returns whether none is left.
        """
        ahead = Prefetcher(self.source(), iter(uids), budget or MessageBudget(plan.MAX_UID), dict(known or {}))
        read: deque[Batch] = deque()
        noted: list[int] = []

        def settle(keep: int) -> None:
            while len(read) > keep:
                self.commit(read.popleft(), walk)
                del noted[0]

        with parsing_pool.running(), self._forgiving(noted), fetch_thread(self.session.imap) as thread:
            try:
                ahead.first()
                parsing_pool.prepare(len(ahead.waiting))
                while (first := ahead.first()) is not None:
                    number = self._begin(first)
                    noted.append(first)
                    # A batch that failed before is tried again while nothing else is under way. With several accounts
                    # at once the CPU is busy anyway, and all their batches must fit in memory.
                    if number > 1 or len(fetching) > 1:
                        settle(0)
                    coming = thread.submit(self._step(ahead, first, number))
                    settle(AHEAD)
                    read.append(coming.result())
                    if number > 1:
                        settle(0)
                    ahead.budget.renew()
                settle(0)
            except (StorageError, Busy):
                raise
            except MailError:
                settle(0)  # the batches before the failure are good: commit them
                raise
        return not ahead.waiting

    def source(self, limit: int | None = None) -> MessageSource:
        """Where the run's messages come from. limit: bytes; of a larger message only the header is fetched. None: as
        many as may be fetched with a batch."""
        if limit is None:
            limit = min(settings.MAX_MESSAGE_BYTES, PIECES_FROM_BYTES)
        small = MessagePlace.objects.present().filter(self.here, size__lt=PIECES_FROM_BYTES).order_by("-uid")
        stored = next((MessageMeta(uid, (), None, size) for uid, size in small.values_list("uid", "size")[:1]), None)
        return MessageSource(self.session.imap, self.folder.account_id, connection.vendor, limit, stored)

    def _begin(self, first: int) -> int:
        """Renew the lease and note that this batch is being tried (see poison); returns the number of the attempt."""
        is_alone = self._alone_left > 0
        with self.session.transaction():
            number = self.attempts.begin(first, is_alone=is_alone)
        if number >= ALONE_FROM:
            self._alone_left = self._alone_left - 1 if is_alone else BATCH_COUNT - 1
        return number

    def _step(self, ahead: Prefetcher, first: int, number: int) -> Callable[[], Batch]:
        """How to fetch the next batch at this attempt."""
        if number > PROVEN_BAD:
            self._alone_left = 0  # the bad message is found
            return partial(ahead.skip, breaks_connection(self.state.pk))
        if number > MOST_ATTEMPTS:
            self._fetch_another(first, list(ahead.waiting)[1:])
            self.attempts.suspect(first)
        if number >= ALONE_FROM:
            return partial(ahead.bring, count=1, asked=1)
        return partial(ahead.bring, asked=BATCH_COUNT) if number > 1 else ahead.bring

    @contextlib.contextmanager
    def _forgiving(self, noted: Sequence[int]) -> Iterator[None]:
        """Remove the notes of attempts when our disk or database failed, or the lease was lost: no message's fault."""
        try:
            yield
        except (StorageError, Busy, *DATABASE_TROUBLE):
            with contextlib.suppress(DatabaseError):
                for uid in noted:
                    self.attempts.end(uid)
            raise

    def _fetch_another(self, uid: int, rest: Sequence[int]) -> None:
        """Fetch some other message. Raises MailError if that fails as well: then the server is at fault, not `uid`."""
        known = MessagePlace.objects.present().filter(self.here)
        smallest = known.exclude(uid=uid).order_by("size").values_list("uid", flat=True).first()
        other = smallest or (random.choice(rest) if rest else None)  # noqa: S311 - by chance: one of them may be bad
        if other is not None:
            list(self.session.imap.fetch_messages(self.session.imap.fetch_meta([other])))
