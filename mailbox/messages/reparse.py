"""Reads stored mail again from its raw bytes, when the parser has learned something. Batch by batch, beside a sync.

What to read is told by `Message.parser_version`. A batch is read outside of any transaction and written in one; a row
that a sync has changed meanwhile has other raw bytes, or is gone, and is left alone. So a round may be killed at any
instruction and begun again, or run twice at once: nothing is read into a wrong row, and nothing is left out.

What a mail is stays: its Message-ID, its variant, its places. Nothing is lost with raw bytes that are missing: the row
stays as it is, and is counted.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from mailbox.imap.fetch import OTHER_LENGTH
from mailbox.logs import event
from mailbox.messages import conversations
from mailbox.messages.store import PARSED_FIELDS
from mailbox.mime import message as mime_message
from mailbox.models import Account, Attachment, Message, Reparse
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob, ParseResult
from mailbox.search.index import index_messages
from mailbox.storage import out_of_reach, raw_store

logger = logging.getLogger(__name__)
OTHERS_TRY_FOR = timedelta(minutes=10)
BATCH = 50  # messages a transaction: well below 250 ms each
BATCH_BYTES = 16_000_000


@dataclass
class _Batch:
    """What came of reading some messages, before anything is written."""

    last_pk: int
    same: list[int] = field(default_factory=list)  # read, and nothing is different
    changed: list[tuple[Message, ParseResult]] = field(default_factory=list)
    fields: dict[int, list[str]] = field(default_factory=dict)  # by pk of a changed one: which of its columns differ
    relinked: list[Message] = field(default_factory=list)  # read, and may belong to another conversation now
    thread_indexes: dict[int, str] = field(default_factory=dict)
    lost: int = 0
    failed: int = 0
    is_cut: bool = False  # the next message's file is out of reach on this host

    @property
    def done(self) -> int:
        return len(self.same) + len(self.changed) + self.lost + self.failed


def waiting(account: Account | None = None) -> int:
    """How many messages were read by an older parser."""
    rows = _of(account).order_by()
    older = rows.filter(parser_version__lt=mime_message.PARSER_VERSION)  # two stretches of one index
    return rows.filter(parser_version=None).count() + older.count()


def begin(account: Account | None, *, everything: bool, requested_by: int | None = None) -> tuple[Reparse, bool]:
    """The round for this; False when one is under way, which is then gone on with."""
    with transaction.atomic():
        under_way = Reparse.objects.select_for_update().unfinished().filter(account=account, everything=everything)
        found = under_way.order_by("pk").first()
        if found is not None:
            return found, False
        total = _of(account).count() if everything else waiting(account)
        made = Reparse.objects.create(account=account, everything=everything, requested_by_id=requested_by, total=total)
        return made, True


def go_on(round_: Reparse, *, seconds: float | None = None) -> Iterator[Reparse]:
    """Read batch after batch, no further one after so many seconds; yields the round after each.

    One batch is read whatever the time is: a machine that takes longer than that before the first would never end.

    Ends early when the round was deleted, another worker has moved it on, or the next message waits for another host.
    """
    started = time.monotonic()
    with parsing_pool.running():
        while round_.finished_at is None:
            batch = _read_batch(round_)
            if (batch.is_cut and not batch.done) or not _write(round_, batch, timezone.now()):
                return
            round_.refresh_from_db()
            yield round_
            if seconds is not None and time.monotonic() - started >= seconds:
                return


def _of(account: Account | None) -> QuerySet[Message]:
    rows = Message.objects.order_by("pk")
    return rows if account is None else rows.filter(account=account)


def _outdated(rows: QuerySet[Message]) -> list[QuerySet[Message]]:
    """One query for each older version: each is a stretch of the index, whose rows come in the order of the key."""
    versions = [rows.filter(parser_version=version) for version in range(1, mime_message.PARSER_VERSION)]
    return [rows.filter(parser_version=None), *versions]


def _next_rows(round_: Reparse) -> list[Message]:
    rows = _of(round_.account).filter(pk__gt=round_.after_pk)
    sizes: list[tuple[int, int]] = []
    for asked in [rows] if round_.everything else _outdated(rows):
        sizes += asked.values_list("pk", "size")[:BATCH]
    chosen: list[int] = []
    total = 0
    for pk, size in sorted(sizes)[:BATCH]:
        total += size
        if chosen and total > BATCH_BYTES:
            break
        chosen.append(pk)
    return list(Message.objects.filter(pk__in=chosen).order_by("pk"))


def _read_batch(round_: Reparse) -> _Batch:
    rows = _next_rows(round_)
    batch = _Batch(last_pk=0)
    orders: list[tuple[Message, ParseJob]] = []
    for row in rows:
        try:
            raw, path = raw_store.map_raw(row.raw_digest)
        except raw_store.RawOutOfReach as missing:
            out_of_reach.note(missing.segment)
            if _waits_for_another_host(round_, timezone.now()):
                batch.is_cut = True
                break
            batch.lost += 1
            event(logger, "reparse_lost", logging.WARNING, message=row.pk, reason=str(missing))
        except raw_store.RawMissing as missing:
            batch.lost += 1
            event(logger, "reparse_lost", logging.WARNING, message=row.pk, reason=str(missing))
        else:
            orders.append((row, ParseJob(raw, row.size, row.account_id, connection.vendor, path)))
        batch.last_pk = row.pk
    for (row, _), result in zip(orders, parsing_pool.read([order for _, order in orders]).result(), strict=True):
        former = _refers_to(row)
        if isinstance(result, str):
            batch.failed += 1
            event(logger, "reparse_failed", logging.ERROR, message=row.pk, reason=result)
        elif differing := _fill(row, result.parsed):
            batch.changed.append((row, result))
            batch.fields[row.pk] = differing
        else:
            batch.same.append(row.pk)
        if not isinstance(result, str):
            batch.thread_indexes[row.pk] = result.parsed.thread_index
            if former != _refers_to(row) or conversations.has_unusual_ids(row):
                batch.relinked.append(row)
    otherwise = conversations.linked_otherwise(batch.thread_indexes, [row for row, _ in orders])
    batch.relinked += [row for row, _ in orders if row.pk in otherwise and row not in batch.relinked]
    return batch


def _waits_for_another_host(round_: Reparse, now: datetime) -> bool:
    """The sweep takes a round up that stands still, on whichever host; what none of them has is lost in the end."""
    return round_.moved_at > now - OTHERS_TRY_FOR and out_of_reach.others_work(now)


def _refers_to(row: Message) -> tuple[str, str]:
    return (row.references_header, row.in_reply_to)


def _fill(row: Message, parsed: mime_message.ParsedMessage) -> list[str]:
    """Put what was read into the row, and name the columns in which anything is different."""
    listed = [dict(vars(attachment)) for attachment in parsed.attachments]
    values: dict[str, Any] = {name: getattr(parsed, name) for name in PARSED_FIELDS}
    values["attachments"] = listed
    values["has_attachments"] = any(not attachment.is_inline for attachment in parsed.attachments)
    values["parse_defects"] = [*parsed.defects, *(each for each in row.parse_defects if each == OTHER_LENGTH)]
    differing = [name for name, value in values.items() if getattr(row, name) != value]
    for name, value in values.items():
        setattr(row, name, value)
    return differing


def _write(round_: Reparse, batch: _Batch, now: datetime) -> bool:
    """Rows, index and the round's place together; False, and nothing written, when the round stands elsewhere."""
    with transaction.atomic():
        changed = [(row, read) for row, read in batch.changed if _update(row, read.digest, now)]
        for row, read in changed:
            _replace_attachments(row, read.parsed.attachments)
        index_messages([row for row, _ in changed], {id(row): read.index_text for row, read in changed})
        written = {row.pk for row, _ in changed}.union(batch.same)
        moved_on = conversations.relink([row for row in batch.relinked if row.pk in written], batch.thread_indexes)
        Message.objects.filter(pk__in=batch.same).update(parser_version=mime_message.PARSER_VERSION)
        is_over = batch.done == 0
        moved = Reparse.objects.unfinished().filter(pk=round_.pk, after_pk=round_.after_pk)
        if not moved.update(
            after_pk=round_.after_pk if is_over else batch.last_pk,
            moved_at=now,
            finished_at=now if is_over else None,
            done=F("done") + batch.done,
            changed=F("changed") + len(changed),
            changed_fields=dict(_counted(round_, batch, changed, moved_on)),
            lost=F("lost") + batch.lost,
            failed=F("failed") + batch.failed,
        ):
            transaction.set_rollback(True)
            return False
    return True


def _counted(
    round_: Reparse, batch: _Batch, changed: Sequence[tuple[Message, ParseResult]], relinked: int
) -> Counter[str]:
    """How many messages differ in which column or are in another conversation, former batches of the round included."""
    counts = Counter(round_.changed_fields)
    for row, _ in changed:
        counts.update(batch.fields[row.pk])
    if relinked:
        counts["conversation"] += relinked
    return counts


def _update(row: Message, digest: str, now: datetime) -> bool:
    """Conditional on the raw bytes: a mail that was too large and came whole meanwhile has others."""
    values = {name: getattr(row, name) for name in (*PARSED_FIELDS, "attachments", "has_attachments", "parse_defects")}
    same = Message.objects.filter(pk=row.pk, raw_digest=digest)
    return same.update(**values, parser_version=mime_message.PARSER_VERSION, updated_at=now) == 1


def _replace_attachments(row: Message, attachments: Sequence[mime_message.ParsedAttachment]) -> None:
    """Rows of the present attachments. One that a person removed stays removed, at whichever position it is."""
    former = list(Attachment.objects.filter(message=row).order_by("position"))
    if [_values(each) for each in former] == [vars(each) for each in attachments]:
        return
    removed = dict(
        zip(_told_apart([each.digest for each in former]), [each.removed_at for each in former], strict=True)
    )
    Attachment.objects.filter(message=row).delete()
    # Asked anew: a sync may have found an earlier place since the batch was read.
    received_at = Message.objects.values_list("received_at", flat=True).get(pk=row.pk)
    marks = _told_apart([each.digest for each in attachments])
    Attachment.objects.bulk_create(
        [
            Attachment(
                message=row,
                account_id=row.account_id,
                received_at=received_at,
                removed_at=removed.get(mark),
                **vars(each),
            )
            for mark, each in zip(marks, attachments, strict=True)
        ],
        batch_size=100,
    )


def _told_apart(digests: Sequence[str]) -> list[tuple[str, int]]:
    """Each digest with how many of the same stand before it."""
    seen: Counter[str] = Counter()
    marks = []
    for digest in digests:
        marks.append((digest, seen[digest]))
        seen[digest] += 1
    return marks


def _values(row: Attachment) -> dict[str, Any]:
    return {name: getattr(row, name) for name in mime_message.ParsedAttachment.__dataclass_fields__}
