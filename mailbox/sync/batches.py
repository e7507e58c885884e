"""The batches of one folder's sync: fetch, parse, make the raw bytes durable, commit rows and cursor together."""

from __future__ import annotations

import contextlib
import logging
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import Busy, MailError, StorageError
from mailbox.imap.session import MessageMeta
from mailbox.logs import event
from mailbox.messages import store
from mailbox.messages.set_aside import MailHead, quarantine
from mailbox.messages.store import Incoming
from mailbox.models import Folder, Message, MessagePlace, SyncState
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseResult
from mailbox.signals import messages_stored
from mailbox.storage import disk_budget, raw_store
from mailbox.sync import plan
from mailbox.sync.account_session import AccountSession
from mailbox.sync.large_messages import PIECES_FROM_BYTES
from mailbox.sync.poison import ALONE_FROM, MOST_ATTEMPTS, PROVEN_BAD, Attempts
from mailbox.sync.prefetch import BATCH_COUNT, Fetched, MessageBudget, Prefetcher, Source
from mailbox.sync.prefetch_thread import RENEW_SECONDS, FetchThread

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
class RunCounts:
    """What a run has committed so far; reported even when the run fails."""

    fetched: int = 0
    updated: int = 0
    quarantined: int = 0
    bytes: int = 0


@dataclass
class ReadBatch:
    """A batch that was parsed and is not committed yet.

    incoming: messages to store. failures: UID -> why a message goes to quarantine. sizes: UID -> bytes, as stated.
    heads: of failures whose bytes were fetched.
    """

    incoming: list[Incoming] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    heads: dict[int, MailHead] = field(default_factory=dict)


@dataclass
class FolderRun:
    """One folder being synced on an open connection. `stretch`: the UIDs that are committed so far."""

    session: AccountSession
    folder: Folder
    state_pk: int
    uidvalidity: int
    stretch: plan.UidRange | None
    counts: RunCounts
    attempts: Attempts
    has_put_off: bool = False  # of large messages only the headers were stored; requested.fetch_asked fetches the rest
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

    def source(self, limit: int | None) -> Source:
        known = MessagePlace.objects.present().filter(folder=self.folder, uidvalidity=self.uidvalidity)
        stored_uid = known.order_by("-uid").values_list("uid", flat=True).first()
        return Source(self.session.imap, self.folder.account_id, connection.vendor, limit, stored_uid)

    def _fetch_all(self, walk: plan.Walk, ahead: Prefetcher, *, last: bool) -> None:
        """Fetch all batches as a pipeline: while one is fetched, the one before is parsed, and the one before that is
        committed."""
        ahead.look()
        if not ahead.waiting and last:
            self.commit(ReadBatch(), plan.advanced(self.stretch, walk, [], last=True))
        read: deque[tuple[int, Fetched]] = deque()

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

    def _try_again(self, ahead: Prefetcher, first: int, number: int, thread: FetchThread) -> Fetched:
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

    def read_batch(self, fetched: Fetched, *, prove: bool = False) -> ReadBatch:
        """Wait for the parsers, then write the raw bytes to the store.

        `prove`: also read back bytes that the store has already, and write them anew if they are damaged.
        Raises StorageError.
        """
        batch = ReadBatch(failures=fetched.failures, sizes=fetched.sizes)
        while not fetched.read.wait(RENEW_SECONDS):
            self.session.renew()
        for each, result in zip(fetched.messages, fetched.read.result(), strict=True):
            if isinstance(result, ParseResult):
                batch.incoming.append(Incoming(each, result))
            else:
                event(logger, "parse_failed", logging.ERROR, **self._fields(uid=each.meta.uid, error=result))
                batch.failures[each.meta.uid] = f"It could not be parsed: {result}".replace("\0", "\ufffd")
                batch.heads[each.meta.uid] = MailHead.of(each.raw)
        raws = [each.fetched.raw for each in batch.incoming]
        digests, now = [each.digest for each in batch.incoming], self.session.clock()
        disk_budget.demand(sum(map(len, raws)))
        raw_store.save_batch(raws, digests=digests, now=now, prove=prove)
        return batch

    def commit(self, batch: ReadBatch, stretch: plan.UidRange | None, *, begun: int | None = None) -> None:
        """Commit rows and cursor in one transaction. If the database refuses the batch, write it message by message.

        stretch: the UIDs that are stored then. begun: first UID of the batch, whose note of an attempt is removed.
        Raises StorageError when the database fails, Busy when the lease is lost.
        """
        try:
            try:
                stored = self._write(batch, stretch, begun, one_by_one=False)
            except (MailError, *DATABASE_TROUBLE):
                raise
            except Exception:
                logger.exception("batch_refused", extra={"fields": self._fields()})
                stored = self._write(batch, stretch, begun, one_by_one=True)
        except DATABASE_TROUBLE as error:
            raise StorageError(f"The database did not take the messages: {error}") from error
        self.stretch = stretch
        self.counts.fetched += len(batch.incoming) - sum(each.uid in batch.failures for each in batch.incoming)
        self.counts.updated += stored
        self.counts.quarantined += len(batch.failures)
        self.counts.bytes += sum(len(each.fetched.raw) for each in batch.incoming)
        event(logger, "batch_stored", logging.DEBUG, **self._fields(count=len(batch.incoming)))

    def _write(self, batch: ReadBatch, stretch: plan.UidRange | None, begun: int | None, *, one_by_one: bool) -> int:
        now = self.session.clock()
        decision = None if one_by_one else store.decide(self.folder, self.uidvalidity, batch.incoming)
        with transaction.atomic():
            self.session.renew()
            if decision is None:
                stored = self._write_singly(batch, now)
            else:
                stored = [store.write(self.folder, self.uidvalidity, decision, now)]
            raw_store.reference([each.digest for each in batch.incoming], now)
            self._ask_for_large(batch, now)
            for uid, reason in batch.failures.items():
                size, head = batch.sizes.get(uid), batch.heads.get(uid)
                quarantine(self.folder, self.uidvalidity, uid, size, reason, now, head)
            self.move_cursor(stretch)
            if begun is not None:
                self.attempts.end(begun)
            self._announce([pk for each in stored for pk in each.pks])
        return sum(each.updated for each in stored)

    def _ask_for_large(self, batch: ReadBatch, now: datetime) -> None:
        """Have incomplete messages fetched whole, in pieces, after all others.

        Not those above MAX_MESSAGE_BYTES: these are fetched only when a person asks.
        """
        limit = settings.MAX_MESSAGE_BYTES
        put_off = [
            each.uid for each in batch.incoming if not each.fetched.is_complete and each.fetched.meta.size <= limit
        ]
        if put_off:
            self.has_put_off = True
            place = MessagePlace.objects.filter(folder=self.folder, uidvalidity=self.uidvalidity, uid__in=put_off)
            place.filter(is_complete=False).update(fetch_requested_at=now)

    def _write_singly(self, batch: ReadBatch, now: datetime) -> list[store.Stored]:
        stored = []
        for each in batch.incoming:
            try:
                with transaction.atomic():
                    decision = store.decide(self.folder, self.uidvalidity, [each])
                    stored.append(store.write(self.folder, self.uidvalidity, decision, now))
            except DATABASE_TROUBLE:
                raise
            except Exception as error:
                logger.exception("store_failed", extra={"fields": self._fields(uid=each.uid)})
                batch.failures[each.uid] = f"It could not be stored: {_words(error)}"
                batch.heads[each.uid] = MailHead.of(each.fetched.raw)
        return stored

    def move_cursor(self, stretch: plan.UidRange | None) -> None:
        """Save the cursors; call it in the transaction that stores the messages."""
        if stretch is not None and stretch != self.stretch:
            SyncState.objects.filter(pk=self.state_pk).update(
                uidvalidity=self.uidvalidity, cursor=stretch.high, backfill_cursor=stretch.low
            )

    def _announce(self, pks: Iterable[int]) -> None:
        account_id, stored = self.folder.account_id, list(pks)
        if stored:
            transaction.on_commit(
                lambda: messages_stored.send_robust(sender=Message, account_id=account_id, pks=stored) and None
            )

    def _fields(self, **more: object) -> dict[str, object]:
        return {"account": self.session.account.email, "folder": self.folder.name, **more}


def _whole_at_once() -> int:
    """The largest message, in bytes, that is fetched with its batch; of a larger one the header comes first."""
    return min(settings.MAX_MESSAGE_BYTES, PIECES_FROM_BYTES)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500].replace("\0", "\ufffd")
