"""Stores a parsed batch: makes the raw bytes durable, then commits rows and cursor in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import transaction

from mailbox.db.deadlocks import repeated
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import MailError, StorageError
from mailbox.logs import event
from mailbox.messages import store
from mailbox.messages.set_aside import MailHead, quarantine
from mailbox.messages.store import Incoming
from mailbox.models import Folder, Message, MessagePlace, SyncState
from mailbox.parsing.parse_job import ParseResult
from mailbox.signals import messages_stored
from mailbox.storage import disk_budget, raw_store
from mailbox.sync import plan
from mailbox.sync.account_session import AccountSession
from mailbox.sync.outcome import SyncOutcome
from mailbox.sync.poison import Attempts
from mailbox.sync.prefetch import FetchedBatch
from mailbox.sync.prefetch_thread import RENEW_SECONDS

logger = logging.getLogger(__name__)


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
class BatchWriter:
    """Stores batches of one folder, under the lease of `session`. `stretch`: the UIDs that are committed so far."""

    session: AccountSession
    folder: Folder
    state_pk: int
    uidvalidity: int
    stretch: plan.UidRange | None
    outcome: SyncOutcome
    attempts: Attempts
    has_put_off: bool = False  # of large messages only the headers were stored; requested.fetch_asked fetches the rest

    def read_batch(self, fetched: FetchedBatch, *, prove: bool = False) -> ReadBatch:
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
                stored = repeated(lambda: self._write(batch, stretch, begun, one_by_one=False))
            except (MailError, *DATABASE_TROUBLE):
                raise
            except Exception:
                logger.exception("batch_refused", extra={"fields": self._fields()})
                stored = self._write(batch, stretch, begun, one_by_one=True)
        except DATABASE_TROUBLE as error:
            raise StorageError(f"The database did not take the messages: {error}") from error
        self.stretch = stretch
        self.outcome.fetched += len(batch.incoming) - sum(each.uid in batch.failures for each in batch.incoming)
        self.outcome.updated += stored
        self.outcome.quarantined += len(batch.failures)
        self.outcome.bytes += sum(len(each.fetched.raw) for each in batch.incoming)
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


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500].replace("\0", "\ufffd")
