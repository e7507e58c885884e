"""Stores a parsed batch: makes the raw bytes durable, then commits rows and cursor in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from mailbox.db.deadlocks import repeated
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import MailError
from mailbox.imap.session import FolderStatus
from mailbox.logs import event
from mailbox.messages import store
from mailbox.messages.set_aside import quarantine
from mailbox.messages.store import Incoming
from mailbox.models import Message, MessagePlace, SyncState
from mailbox.parsing.parse_job import ParseResult
from mailbox.signals import messages_stored
from mailbox.storage import disk_budget, raw_store
from mailbox.sync import plan
from mailbox.sync.account_session import AccountSession
from mailbox.sync.outcome import SyncOutcome
from mailbox.sync.poison import Attempts
from mailbox.sync.prefetch import Batch

logger = logging.getLogger(__name__)


@dataclass
class BatchWriter:
    """Stores batches of one folder, under the lease of `session`.

    state: the folder's row as it was before this run. status: the server's answer to EXAMINE. outcome: is counted up.
    stretch: the UIDs that are committed so far.
    """

    session: AccountSession
    state: SyncState
    status: FolderStatus
    outcome: SyncOutcome
    stretch: plan.UidRange | None = None
    kept: int = 0  # messages that were surely the same after a change of UIDVALIDITY
    has_put_off: bool = False  # of large messages only the headers were stored; requested.fetch_asked fetches the rest

    def __post_init__(self) -> None:
        self.folder, self.uidvalidity = self.state.folder, self.status.uidvalidity
        self.here = Q(folder=self.folder, uidvalidity=self.uidvalidity)  # rows of what the server has under these UIDs
        self.attempts = Attempts(self.state.pk, dict(self.state.begun))

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

    @contextmanager
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
        """Have incomplete messages fetched whole, in pieces, after all others.

        Not those above MAX_MESSAGE_BYTES: these are fetched only when a person asks.
        """
        metas = [each.fetched.meta for each in batch.incoming if not each.fetched.is_complete]
        if large := [meta.uid for meta in metas if meta.size <= settings.MAX_MESSAGE_BYTES]:
            self.has_put_off = True
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
