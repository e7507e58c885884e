"""One folder being synced: fetches its messages in batches, and stores each with the cursor in one transaction.

A pipeline: fetch, parse and commit at the same time. The raw bytes are durable before the rows that refer to them.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from mailbox.db.deadlocks import repeated
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, MailError, ProviderError, StorageError
from mailbox.imap.session import FolderStatus, MessageMeta
from mailbox.logs import event
from mailbox.messages import store
from mailbox.messages.quarantine import quarantine
from mailbox.messages.store import Incoming
from mailbox.models import Message, MessagePlace, SyncState
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseResult
from mailbox.signals import messages_stored
from mailbox.storage import disk_budget, raw_store
from mailbox.sync import plan
from mailbox.sync.account_session import AccountSession
from mailbox.sync.large_messages import PIECES_FROM_BYTES
from mailbox.sync.outcome import SyncOutcome
from mailbox.sync.poison import ALONE_FROM, MOST_ATTEMPTS, PROVEN_BAD, Attempts
from mailbox.sync.prefetch import (
    BATCH_COUNT,
    NOTHING_GIVEN,
    Batch,
    MessageBudget,
    MessageSource,
    Prefetcher,
    fetch_thread,
    fetching,
)

logger = logging.getLogger(__name__)
AHEAD = 1  # batches in the parsers while the next is fetched and the one before is committed


@dataclass
class FolderRun:
    """One folder being synced on an open connection, under the lease of `session`.

    state: the folder's row as it was read; a new UIDVALIDITY resets it (uidvalidity.begin). status: the server's answer
    to EXAMINE. outcome: is counted up. stretch: the UIDs that are committed so far.
    """

    session: AccountSession
    state: SyncState
    status: FolderStatus
    outcome: SyncOutcome
    kept: int = 0  # messages that were surely the same after a change of UIDVALIDITY
    _alone_left: int = 0  # messages still to be fetched one by one, to find the one that breaks the connection

    def __post_init__(self) -> None:
        self.folder, self.uidvalidity = self.state.folder, self.status.uidvalidity
        self.here = Q(folder=self.folder, uidvalidity=self.uidvalidity)  # rows of what the server has under these UIDs
        self.stretch = plan.stretch_of(self.state.backfill_cursor, self.state.cursor)
        self.attempts = Attempts(self.state.pk, dict(self.state.begun))

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

        def settle(keep: int) -> None:
            while len(read) > keep:
                self.commit(read.popleft(), walk)

        with fetch_thread(self.session.imap) as thread:
            try:
                ahead.first()
                parsing_pool.prepare(len(ahead.waiting))
                while (first := ahead.first()) is not None:
                    number = self._begin(first)
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
        return MessageSource(self.session.imap, self.folder.account_id, limit, stored)

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
            return partial(ahead.skip, self.attempts.reason())
        if number > MOST_ATTEMPTS:
            self._demand_another(ahead, first)
            self.attempts.suspect(first)
        if number >= ALONE_FROM:
            return partial(ahead.bring, count=1, asked=1)
        return partial(ahead.bring, asked=BATCH_COUNT) if number > 1 else ahead.bring

    def _demand_another(self, ahead: Prefetcher, uid: int) -> None:
        """Raise MailError if the server gives no other message either: then it is at fault, not `uid`."""
        rest = [] if ahead.source.stored else list(ahead.waiting)[1:]
        others = [random.choice(rest)] if rest else []  # noqa: S311 - by chance: one of them may be bad
        if not ahead.source.gives_another(uid, list(self.session.imap.fetch_meta(others).values())):
            raise ProviderError(NOTHING_GIVEN)

    def commit(self, batch: Batch, walk: plan.Walk | None = None, *, prove: bool = False) -> None:
        """Read the batch, then commit rows and cursor in one transaction. If the database refuses it, write it message
        by message.

        walk: whose next UIDs these are; None leaves the cursors where they are. prove: see read_batch().
        Raises StorageError, Busy when the lease is lost, and the errors of a database that fails.
        """
        self.read_batch(batch, prove=prove)
        stretch = plan.advanced(self.stretch, walk, batch.uids) if walk else self.stretch
        try:
            stored = repeated(
                lambda: self._write(batch, stretch, store.decide(self.folder, self.uidvalidity, batch.incoming))
            )
        except (MailError, *DATABASE_TROUBLE):
            raise
        except Exception:
            logger.exception("batch_refused", extra={"fields": self._fields()})
            stored = self._write(batch, stretch, None)
        self.outcome.fetched += len(batch.incoming)
        self.outcome.updated += sum(each.updated for each in stored)
        self.outcome.quarantined += len(batch.failures)
        self.outcome.bytes += sum(len(each.fetched.raw) for each in batch.incoming)
        event(logger, "batch_stored", logging.DEBUG, **self._fields(count=len(batch.incoming)))

    def read_batch(self, batch: Batch, *, prove: bool) -> None:
        """Wait for the parsers, then write the raw bytes to the store.

        `prove`: also read back bytes that the store has already, and write them anew if they are damaged.
        Raises StorageError.
        """
        for each, result in zip(batch.messages, batch.read.result(), strict=True):
            if isinstance(result, ParseResult):
                batch.incoming.append(Incoming(each, result))
            else:
                event(logger, "parse_failed", logging.ERROR, **self._fields(uid=each.meta.uid, error=result))
                batch.failures[each.meta.uid] = f"It could not be parsed: {result}"
        raws = [each.fetched.raw for each in batch.incoming]
        digests, now = [each.digest for each in batch.incoming], self.session.clock()
        disk_budget.demand(sum(map(len, raws)))
        raw_store.save_batch(raws, digests=digests, now=now, prove=prove)

    def finish(self, walk: plan.Walk) -> None:
        """Save that no UID of the walk is left."""
        stretch = plan.finished(self.stretch, walk)
        if stretch != self.stretch:
            with self.moving_to(stretch):
                pass

    @contextlib.contextmanager
    def moving_to(self, stretch: plan.UidRange | None) -> Iterator[None]:
        """A transaction under the lease that also saves the cursors of this stretch. Raises Busy."""
        with self.session.transaction():
            yield
            if stretch is not None and stretch != self.stretch:
                SyncState.objects.filter(pk=self.state.pk).update(
                    uidvalidity=self.uidvalidity, cursor=stretch.high, backfill_cursor=stretch.low
                )
        self.stretch = stretch

    def _write(
        self, batch: Batch, stretch: plan.UidRange | None, decision: store.StoreDecision | None
    ) -> list[store.Stored]:
        """Write the batch as decided, or without a decision message by message."""
        now = self.session.clock()
        with self.moving_to(stretch):
            if decision is None:
                stored = self._write_singly(batch, now)
            else:
                stored = [store.write(self.folder, self.uidvalidity, decision, now)]
            raw_store.reference([each.digest for each in batch.incoming], now)
            self._ask_for_large(batch, now)
            raws = {each.meta.uid: each.raw for each in batch.messages}
            for uid, reason in batch.failures.items():
                quarantine(self.folder, self.uidvalidity, uid, batch.sizes.get(uid), reason, now, raws.get(uid))
            self.attempts.end(batch.uids[0])
            self._announce([pk for each in stored for pk in each.pks])
        return stored

    def _ask_for_large(self, batch: Batch, now: datetime) -> None:
        """Have incomplete messages fetched whole, in pieces, after all others (requested.fetch_asked).

        Not those above MAX_MESSAGE_BYTES: these are fetched only when a person asks.
        """
        metas = [each.fetched.meta for each in batch.incoming if not each.fetched.is_complete]
        if large := [meta.uid for meta in metas if meta.size <= settings.MAX_MESSAGE_BYTES]:
            there = MessagePlace.objects.filter(self.here, uid__in=large, is_complete=False)
            there.update(fetch_requested_at=now)

    def _write_singly(self, batch: Batch, now: datetime) -> list[store.Stored]:
        stored = []
        for each in list(batch.incoming):
            try:
                with transaction.atomic():
                    decision = store.decide(self.folder, self.uidvalidity, [each])
                    stored.append(store.write(self.folder, self.uidvalidity, decision, now))
            except DATABASE_TROUBLE:
                raise
            except Exception as error:
                logger.exception("store_failed", extra={"fields": self._fields(uid=each.uid)})
                batch.failures[each.uid] = f"It could not be stored: {type(error).__name__}: {error}"[:500]
                batch.incoming.remove(each)
        return stored

    def _announce(self, pks: list[int]) -> None:
        if pks:
            told = {"sender": Message, "account_id": self.folder.account_id, "pks": pks}
            transaction.on_commit(partial(messages_stored.send_robust, **told))

    def _fields(self, **more: object) -> dict[str, object]:
        return {"account": self.session.account.email, "folder": self.folder.name, **more}
