"""Fetches a folder's messages in batches, as a pipeline: fetch, parse, and commit (batch_writer) at the same time."""

from __future__ import annotations

import contextlib
import logging
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, MailError, StorageError
from mailbox.imap.session import MessageMeta
from mailbox.models import MessagePlace, SyncState
from mailbox.parsing import pool as parsing_pool
from mailbox.sync import plan
from mailbox.sync.batch_writer import BatchWriter, ReadBatch
from mailbox.sync.large_messages import PIECES_FROM_BYTES
from mailbox.sync.poison import ALONE_FROM, MOST_ATTEMPTS, PROVEN_BAD
from mailbox.sync.prefetch import BATCH_COUNT, FetchedBatch, MessageBudget, MessageSource, Prefetcher
from mailbox.sync.prefetch_thread import FetchThread

logger = logging.getLogger(__name__)
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

    _noted: list[int] = field(default_factory=list)  # first UIDs of batches under way, as noted in `attempts`
    _alone_left: int = 0  # messages still to be fetched one by one, to find the one that breaks the connection

    def fetch(
        self,
        walk: plan.Walk,
        uids: Sequence[int],
        *,
        last: bool,
        known: Mapping[int, MessageMeta | None] | None = None,
    ) -> None:
        """Fetch and store these UIDs in the walk's order, batch by batch; each batch moves the cursor when it commits.

        last: no UID of the walk comes after these.
        known: UID -> flags, date and size, if the server was asked already; None for a UID that it did not answer.
        """
        ahead = Prefetcher(
            self.source(_whole_at_once()),
            iter(uids),
            MessageBudget(len(uids)),
            dict(known or {}),
        )
        self._fetch_all(walk, ahead, last=last)

    def fetch_on(self, walk: plan.Walk, uids: Iterator[int], budget: MessageBudget) -> bool:
        """fetch() for the `uids` of a walk, as many as the budget allows; returns whether none is left."""
        ahead = Prefetcher(self.source(_whole_at_once()), uids, budget)
        self._fetch_all(walk, ahead, last=True)
        return not ahead.waiting

    def source(self, limit: int | None) -> MessageSource:
        """Where the run's messages come from. limit: bytes; of a larger message only the header is fetched."""
        known = MessagePlace.objects.present().filter(folder=self.folder, uidvalidity=self.uidvalidity)
        stored_uid = known.order_by("-uid").values_list("uid", flat=True).first()
        return MessageSource(self.session.imap, self.folder.account_id, connection.vendor, limit, stored_uid)

    def _fetch_all(self, walk: plan.Walk, ahead: Prefetcher, *, last: bool) -> None:
        """Fetch all batches as a pipeline: while one is fetched, the one before is parsed, and the one before that is
        committed."""
        ahead.look()
        if not ahead.waiting and last:
            self.commit(ReadBatch(), plan.advanced(self.stretch, walk, [], last=True))
        read: deque[tuple[int, FetchedBatch]] = deque()

        def settle(keep: int) -> None:
            while len(read) > keep:
                first, fetched = read.popleft()
                stretch = plan.advanced(self.stretch, walk, fetched.uids, last=last and fetched.is_last)
                self.commit(self.read_batch(fetched), stretch, begun=first)
                self._noted.remove(first)

        with parsing_pool.running(), self._forgiving(), FetchThread(self.session) as thread:
            parsing_pool.prepare(len(ahead.waiting))
            while (first := ahead.first) is not None:
                number = self._begin(first)
                if number > 1:  # this batch failed before: nothing else runs while it is tried again
                    settle(0)
                    fetched = self._try_again(ahead, first, number, thread)
                else:
                    # With several accounts at once the CPU is busy anyway, and all their batches must fit in memory.
                    if FetchThread.count > 1:
                        settle(0)
                    coming = thread.begin(ahead.bring)
                    settle(AHEAD)
                    try:
                        fetched = thread.wait(coming)
                    except (StorageError, Busy):
                        raise
                    except MailError:
                        settle(0)  # the batches before the failure are good: commit them
                        raise
                read.append((first, fetched))
                if number > 1 or ahead.error is not None:
                    settle(0)
                if ahead.error is not None:
                    raise ahead.error
                ahead.budget.renew()
            settle(0)

    def _begin(self, first: int) -> int:
        """Renew the lease and note that this batch is being tried (see poison); returns the number of the attempt."""
        is_alone = self._alone_left > 0
        with transaction.atomic():
            self.session.renew()
            number = self.attempts.begin(first, is_alone=is_alone)
        self._noted.append(first)
        if number >= ALONE_FROM:
            self._alone_left = self._alone_left - 1 if is_alone else BATCH_COUNT - 1
        return number

    def _try_again(self, ahead: Prefetcher, first: int, number: int, thread: FetchThread) -> FetchedBatch:
        if number > PROVEN_BAD:
            self._alone_left = 0  # the bad message is found
            return ahead.skip(breaks_connection(self.state_pk))
        if number > MOST_ATTEMPTS:
            self._fetch_another(first, list(ahead.waiting)[1:])
            self.attempts.suspect(first)
        if number >= ALONE_FROM:
            return thread.wait(thread.begin(lambda: ahead.bring(count=1, asked=1)))
        return thread.wait(thread.begin(lambda: ahead.bring(asked=BATCH_COUNT)))

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Remove the notes of attempts when our disk or database failed, or the lease was lost: no message's fault.

        A database failure is raised as StorageError.
        """
        self._noted.clear()
        try:
            try:
                yield
            except DATABASE_TROUBLE as error:
                raise StorageError(f"The database did not take the messages: {error}") from error
        except (StorageError, Busy):
            with contextlib.suppress(DatabaseError):
                for uid in self._noted:
                    self.attempts.end(uid)
            raise

    def _fetch_another(self, uid: int, rest: Sequence[int]) -> None:
        """Fetch some other message. Raises MailError if that fails as well: then the server is at fault, not `uid`."""
        known = MessagePlace.objects.present().filter(folder=self.folder, uidvalidity=self.uidvalidity)
        smallest = known.exclude(uid=uid).order_by("size").values_list("uid", flat=True).first()
        other = smallest or (random.choice(rest) if rest else None)  # noqa: S311 - by chance: one of them may be bad
        if other is not None:
            list(self.session.imap.fetch_messages(self.session.imap.fetch_meta([other])))


def _whole_at_once() -> int:
    """The largest message, in bytes, that is fetched with its batch; of a larger one the header comes first."""
    return min(settings.MAX_MESSAGE_BYTES, PIECES_FROM_BYTES)
