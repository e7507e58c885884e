"""Batches of one folder's run: fetch, parse, make durable, and commit rows and cursor together."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from mailbox import mime, places, plan, rawstore, store
from mailbox.attempts import ALONE_FROM, LAST, LAST_AGAIN, PROVEN, Attempts
from mailbox.errors import Busy, MailError, ProviderError, StorageError
from mailbox.imap import FetchedMessage, MessageMeta
from mailbox.imap_fetch import by_bytes
from mailbox.logs import event
from mailbox.models import Folder, Message, MessagePlace, Quarantine, SyncState
from mailbox.session import Mailbox
from mailbox.signals import messages_stored
from mailbox.store import Incoming
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet

logger = logging.getLogger(__name__)
BATCH_BYTES = 8 * 1024 * 1024
BATCH_COUNT = 100
BREAKS_CONNECTION = (
    "Fetching this message ended the connection to the server, or stopped the worker, each time it was tried."
)
NOT_GIVEN = "The server lists this message but does not give it."


@dataclass
class Tally:
    """What a run has done so far, however it ends."""

    fetched: int = 0
    updated: int = 0
    quarantined: int = 0
    bytes: int = 0


@dataclass
class Gathered:
    """What came of one batch before anything is written: mails to store, and UIDs with the reason why not."""

    incoming: list[Incoming] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)


@dataclass
class FolderRun:
    """One folder being synced on an open connection. `stretch` is what is committed so far."""

    mailbox: Mailbox
    folder: Folder
    state_pk: int
    uidvalidity: int
    stretch: plan.Stretch | None
    tally: Tally
    attempts: Attempts

    def fetch(
        self,
        walk: plan.Walk,
        uids: Sequence[int],
        *,
        last: bool,
        known: Mapping[int, MessageMeta | None] | None = None,
    ) -> None:
        """Fetch and store these UIDs, in the walk's order, a batch at a time; each batch moves the cursor.

        `known`: what the server has said of them already.
        """
        waiting, metas, is_alone = list(uids), dict(known or {}), False
        while waiting:
            first = waiting[0]
            number = self.attempts.begin(first, is_alone=is_alone)
            is_alone = is_alone or number >= ALONE_FROM
            try:
                if number > PROVEN:
                    chosen, gathered = [first], Gathered(failures={first: BREAKS_CONNECTION})
                else:
                    if number > LAST:
                        self._fetch_another(first, waiting[1:])
                        self.attempts.suspect(first)
                    chosen, gathered = self._fetch_batch(waiting[:1] if is_alone else waiting, metas)
                del waiting[: len(chosen)]
                is_last = last and not waiting
                self._commit(gathered, plan.advanced(self.stretch, walk, chosen, last=is_last), begun=first)
            except (StorageError, Busy):
                self._forgive(first)
                raise
        if not uids and last:
            self._commit(Gathered(), plan.advanced(self.stretch, walk, [], last=True))

    def _fetch_batch(self, uids: Sequence[int], metas: dict[int, MessageMeta | None]) -> tuple[list[int], Gathered]:
        """The first of these UIDs, as many as fit in a batch. `metas` keeps what is known of the later ones."""
        if uids[0] not in metas:
            metas.update(dict.fromkeys(uids))
            metas.update({meta.uid: meta for meta in self.mailbox.imap.fetch_meta(uids)})
        planned = [_Planned(uid, _wire_size(metas.get(uid))) for uid in uids]
        chosen = [each.uid for each in next(by_bytes(planned, BATCH_BYTES, BATCH_COUNT))]
        there = {uid: meta for uid in chosen if (meta := metas.pop(uid, None)) is not None}
        return chosen, self._gather(chosen, there, settings.MAX_MESSAGE_BYTES)

    def _fetch_another(self, uid: int, rest: Sequence[int]) -> None:
        """See that another message can be fetched: else the server is at fault, not this one. Raises MailError."""
        known = MessagePlace.objects.present().filter(folder=self.folder, uidvalidity=self.uidvalidity)
        smallest = known.exclude(uid=uid).order_by("size").values_list("uid", flat=True).first()
        other = smallest or (random.choice(rest) if rest else None)  # noqa: S311 - any but a bad one
        if other is not None:
            list(self.mailbox.imap.fetch_messages(self.mailbox.imap.fetch_meta([other])))

    def _forgive(self, uid: int) -> None:
        """Our own disk failed, or another worker came: no fault of the message."""
        with contextlib.suppress(DatabaseError):
            self.attempts.end(uid)

    def fetch_again(self) -> None:
        """What people asked for: quarantined messages, and too large ones whole. Those that are gone are settled."""
        asked = self._asked(Quarantine.objects.wanted())
        whole = self._asked(MessagePlace.objects.present().filter(fetch_requested_at__isnull=False))
        for uids, limit in ((asked - whole, settings.MAX_MESSAGE_BYTES), (whole, None)):
            for uid in sorted(uids):  # one by one: they are few, large, or known for trouble
                if self.attempts.begin(uid) > LAST_AGAIN:
                    self._commit(Gathered(failures={uid: BREAKS_CONNECTION}), self.stretch, begun=uid)
                    self._settle(uid, is_there=True)
                    continue
                metas = {meta.uid: meta for meta in self.mailbox.imap.fetch_meta([uid])}
                self._commit(self._gather([uid], metas, limit), self.stretch, begun=uid)
                self._settle(uid, is_there=uid in metas)

    def _asked(self, rows: QuerySet[Any]) -> set[int]:
        return set(rows.filter(folder=self.folder, uidvalidity=self.uidvalidity).values_list("uid", flat=True))

    def _settle(self, uid: int, *, is_there: bool) -> None:
        now = self.mailbox.clock()
        where = Q(folder=self.folder, uidvalidity=self.uidvalidity, uid=uid)
        MessagePlace.objects.filter(where).update(fetch_requested_at=None)
        if not is_there and not self.mailbox.imap.search_uids(uid, uid):
            Quarantine.objects.wanted().filter(where).update(resolved_at=now, fetch_requested_at=None)
            with transaction.atomic():
                places.drop(where, now)

    def _gather(self, uids: Sequence[int], metas: dict[int, MessageMeta], limit: int | None) -> Gathered:
        """Fetch and parse; no database but the lease, and the raw store at the end."""
        gathered = Gathered(sizes={uid: metas[uid].size for uid in uids if uid in metas})
        self.mailbox.renew(sum(gathered.sizes.values()))
        wanted = [metas[uid] for uid in uids if uid in metas]
        fetched = list(self._bodies(wanted, limit, gathered.failures))
        self._look_for_missing(uids, {each.meta.uid for each in fetched}, gathered.failures)
        parsed = [(each, result) for each in fetched if (result := self._parsed(each, gathered.failures))]
        digests = rawstore.save_batch([each.raw for each, _ in parsed], now=self.mailbox.clock())
        gathered.incoming = [
            Incoming(each, result, digest) for (each, result), digest in zip(parsed, digests, strict=True)
        ]
        return gathered

    def _bodies(
        self, metas: Sequence[MessageMeta], limit: int | None, failures: dict[int, str]
    ) -> Iterator[FetchedMessage]:
        imap = self.mailbox.imap
        small = [meta for meta in metas if limit is None or meta.size <= limit]
        try:
            yield from list(imap.fetch_messages(small))
        except ProviderError:  # one bad message makes some servers refuse the whole command: ask one by one
            for meta in small:
                try:
                    yield from list(imap.fetch_messages([meta]))
                except ProviderError as error:
                    failures[meta.uid] = str(error)
        for meta in metas:
            if limit is not None and meta.size > limit:
                try:
                    yield imap.fetch_header(meta)
                except ProviderError as error:
                    failures[meta.uid] = str(error)

    def _look_for_missing(self, uids: Sequence[int], got: set[int], failures: dict[int, str]) -> None:
        """A UID found by SEARCH and not fetched was expunged in between, or the server does not give it."""
        missing = [uid for uid in uids if uid not in got and uid not in failures]
        if missing:
            there = set(self.mailbox.imap.search_uids(min(missing), max(missing)))
            failures.update({uid: NOT_GIVEN for uid in missing if uid in there})

    def _parsed(self, each: FetchedMessage, failures: dict[int, str]) -> mime.ParsedMessage | None:
        try:
            return mime.parse(each.raw)
        except Exception as error:
            logger.exception("parse_failed", extra={"fields": self._fields(uid=each.meta.uid)})
            failures[each.meta.uid] = f"It could not be parsed: {_words(error)}"
            return None

    def _commit(self, gathered: Gathered, stretch: plan.Stretch | None, *, begun: int | None = None) -> None:
        """Rows and cursor in one transaction; a batch that is refused is written mail by mail."""
        try:
            try:
                stored = self._write(gathered, stretch, begun, one_by_one=False)
            except (MailError, OperationalError, InterfaceError):
                raise
            except Exception:
                logger.exception("batch_refused", extra={"fields": self._fields()})
                stored = self._write(gathered, stretch, begun, one_by_one=True)
        except (OperationalError, InterfaceError) as error:
            raise StorageError(f"The database did not take the messages: {error}") from error
        self.stretch = stretch
        self.tally.fetched += len(gathered.incoming) - sum(each.uid in gathered.failures for each in gathered.incoming)
        self.tally.updated += stored
        self.tally.quarantined += len(gathered.failures)
        self.tally.bytes += sum(len(each.fetched.raw) for each in gathered.incoming)
        event(logger, "batch_stored", logging.DEBUG, **self._fields(count=len(gathered.incoming)))

    def _write(self, gathered: Gathered, stretch: plan.Stretch | None, begun: int | None, *, one_by_one: bool) -> int:
        now = self.mailbox.clock()
        decision = None if one_by_one else store.decide(self.folder, self.uidvalidity, gathered.incoming)
        with transaction.atomic():
            self.mailbox.renew()
            if decision is None:
                stored = self._write_singly(gathered, now)
            else:
                stored = [store.write(self.folder, self.uidvalidity, decision, now)]
            for uid, reason in gathered.failures.items():
                store.quarantine(self.folder, self.uidvalidity, uid, gathered.sizes.get(uid), reason, now)
            self.move_cursor(stretch)
            if begun is not None:
                self.attempts.end(begun)
            self._announce([pk for each in stored for pk in each.pks])
        return sum(each.updated for each in stored)

    def _write_singly(self, gathered: Gathered, now: datetime) -> list[store.Stored]:
        stored = []
        for each in gathered.incoming:
            try:
                with transaction.atomic():
                    decision = store.decide(self.folder, self.uidvalidity, [each])
                    stored.append(store.write(self.folder, self.uidvalidity, decision, now))
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                logger.exception("store_failed", extra={"fields": self._fields(uid=each.uid)})
                gathered.failures[each.uid] = f"It could not be stored: {_words(error)}"
        return stored

    def move_cursor(self, stretch: plan.Stretch | None) -> None:
        """Write how far it is stored; call it in the transaction that stores it."""
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
        return {"account": self.mailbox.account.email, "folder": self.folder.name, **more}


@dataclass(frozen=True)
class _Planned:
    uid: int
    size: int


def _wire_size(meta: MessageMeta | None) -> int:
    """Bytes that will cross the wire: none of the body when it is too large."""
    return 0 if meta is None or meta.size > settings.MAX_MESSAGE_BYTES else meta.size


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500].replace("\0", "\ufffd")
