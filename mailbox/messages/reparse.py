"""Parses stored mail again from its raw bytes, after the parser was improved. In batches, while syncs run.

`Message.parser_version` tells which messages to parse. A batch is parsed outside of any transaction and written in one.
A row that a sync has changed meanwhile has other raw bytes, or is gone, and is skipped. So a round may be killed at any
instruction and continued, or run twice at once, without writing to a wrong row or missing one.
A message's identity is not changed: its Message-ID, its variant and its places. If its raw bytes are missing, its row
is not changed, and it is counted as lost.
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

from mailbox.db.deadlocks import repeated
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.imap.fetch import OTHER_LENGTH
from mailbox.logs import event
from mailbox.messages import conversations, other_recipients
from mailbox.messages.store import PARSED_FIELDS
from mailbox.mime import message as mime_message
from mailbox.models import Account, Attachment, Message, Reparse
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob, ParseResult
from mailbox.search.index import index_messages
from mailbox.storage import out_of_reach, raw_store

logger = logging.getLogger(__name__)
OTHERS_TRY_FOR = timedelta(minutes=10)
BATCH = 50  # messages per transaction, which then takes well below 250 ms
BATCH_BYTES = 16_000_000

_Changed = tuple[Message, ParseResult]


@dataclass
class _Batch:
    """The result of parsing some messages, before it is written."""

    last_pk: int
    same: list[int] = field(default_factory=list)  # pks of messages without a difference
    changed: list[_Changed] = field(default_factory=list)
    fields: dict[int, list[str]] = field(default_factory=dict)  # pk of a changed message -> columns that differ
    relinked: list[Message] = field(default_factory=list)  # may belong to another conversation now
    thread_indexes: dict[int, str] = field(default_factory=dict)
    recipients: dict[int, str] = field(default_factory=dict)  # pk -> those that only further copies have
    lost: int = 0
    failed: int = 0
    is_cut: bool = False  # ended early, as the next message's file cannot be read on this host

    @property
    def done(self) -> int:
        return len(self.same) + len(self.changed) + self.lost + self.failed


def waiting(account: Account | None = None) -> int:
    """How many messages were parsed by an older version."""
    rows = _of(account).order_by()
    older = rows.filter(parser_version__lt=mime_message.PARSER_VERSION)  # counted apart from NULL: each uses the index
    return rows.filter(parser_version=None).count() + older.count()


def begin(account: Account | None, *, everything: bool, requested_by: int | None = None) -> tuple[Reparse, bool]:
    """Begin a round, or find an unfinished one with the same arguments. Returns it and whether it is new.

    account: None for all. everything: also messages that the present version has parsed.
    """
    with transaction.atomic():
        under_way = Reparse.objects.select_for_update().unfinished().filter(account=account, everything=everything)
        found = under_way.order_by("pk").first()
        if found is not None:
            return found, False
        total = _of(account).count() if everything else waiting(account)
        made = Reparse.objects.create(account=account, everything=everything, requested_by_id=requested_by, total=total)
        return made, True


def go_on(round_: Reparse, *, seconds: float | None = None) -> Iterator[Reparse]:
    """Process batches until the round is finished; yields the round after each. After `seconds` no further one begins.

    At least one batch is processed, so that a slow machine makes progress, too.

    Ends early when the round was deleted, another worker has advanced it, or the next message waits for another host.
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
    """One query for each older version: for a single version, the index has the rows in the order of their pk."""
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
    batch.recipients = other_recipients.in_stored_copies([row for row, _ in orders])
    otherwise = conversations.linked_otherwise(batch.thread_indexes, [row for row, _ in orders])
    batch.relinked += [row for row, _ in orders if row.pk in otherwise and row not in batch.relinked]
    return batch


def _waits_for_another_host(round_: Reparse, now: datetime) -> bool:
    """Whether to leave the next message to another host, which may be able to read its file.

    The sweep continues a round that stands still on any host. After OTHERS_TRY_FOR the message counts as lost.
    """
    return round_.moved_at > now - OTHERS_TRY_FOR and out_of_reach.others_work(now)


def _refers_to(row: Message) -> tuple[str, str]:
    return (row.references_header, row.in_reply_to)


def _fill(row: Message, parsed: mime_message.ParsedMessage) -> list[str]:
    """Set the row's columns from the parsed message. Returns the names of those that differ."""
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
    """Write rows, index and the round's position in one transaction.

    Returns False, and writes nothing, if the round's position has changed, since another worker has advanced it. If the
    database refuses the batch, it is written message by message, so that one that is refused does not stop the round.
    """
    try:
        return repeated(lambda: _write_batch(round_, batch, now))
    except DATABASE_TROUBLE:
        raise
    except Exception:
        logger.exception("reparse_batch_refused", extra={"fields": {"round": round_.pk}})
        return _write_batch(round_, batch, now, one_by_one=True)


def _write_batch(round_: Reparse, batch: _Batch, now: datetime, *, one_by_one: bool = False) -> bool:
    with transaction.atomic():
        changed: list[_Changed] = []
        moved_on = failed = 0
        parts: list[tuple[list[_Changed], list[int]]] = [(batch.changed, batch.same)]
        if one_by_one:
            parts = [*(([each], []) for each in batch.changed), ([], batch.same)]
        for some, same in parts:
            try:
                with transaction.atomic():
                    written, relinked = _write_rows(some, same, batch, now)
            except Exception as error:
                if not one_by_one or isinstance(error, DATABASE_TROUBLE):
                    raise
                logger.exception("reparse_refused", extra={"fields": {"messages": [row.pk for row, _ in some]}})
                failed += len(some)
            else:
                changed += written
                moved_on += relinked
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
            failed=F("failed") + batch.failed + failed,
        ):
            transaction.set_rollback(True)
            return False
    return True


def _write_rows(
    some: Sequence[_Changed], same: Sequence[int], batch: _Batch, now: datetime
) -> tuple[list[_Changed], int]:
    """Write changed messages, and link them and the `same` again. Returns the messages whose bytes are still the same,
    and how many mails are in another conversation."""
    changed = [(row, read) for row, read in some if _update(row, read.digest, now)]
    for row, read in changed:
        _replace_attachments(row, read.parsed.attachments)
    index_messages([row for row, _ in changed], {id(row): read.index_text for row, read in changed})
    written = {row.pk for row, _ in changed}.union(same)
    for pk in written & batch.recipients.keys():
        other_recipients.note(pk, batch.recipients[pk])
    return changed, conversations.relink([row for row in batch.relinked if row.pk in written], batch.thread_indexes)


def _counted(round_: Reparse, batch: _Batch, changed: Sequence[_Changed], relinked: int) -> Counter[str]:
    """Column -> number of messages that differ in it, in all batches of the round; "conversation" for relinked ones."""
    counts = Counter(round_.changed_fields)
    for row, _ in changed:
        counts.update(batch.fields[row.pk])
    if relinked:
        counts["conversation"] += relinked
    return counts


def _update(row: Message, digest: str, now: datetime) -> bool:
    """Update the row if its raw bytes are still the same: a mail that was too large may have come whole since."""
    values = {name: getattr(row, name) for name in (*PARSED_FIELDS, "attachments", "has_attachments", "parse_defects")}
    same = Message.objects.filter(pk=row.pk, raw_digest=digest)
    return same.update(**values, parser_version=mime_message.PARSER_VERSION, updated_at=now) == 1


def _replace_attachments(row: Message, attachments: Sequence[mime_message.ParsedAttachment]) -> None:
    """Replace the Attachment rows. An attachment that a person removed stays removed, also at a new position."""
    former = list(Attachment.objects.filter(message=row).order_by("position"))
    if [_values(each) for each in former] == [vars(each) for each in attachments]:
        return
    removed = dict(
        zip(_told_apart([each.digest for each in former]), [each.removed_at for each in former], strict=True)
    )
    Attachment.objects.filter(message=row).delete()
    # Read again, as a sync may have found an earlier place since the batch was read.
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
    """Each digest with the number of equal ones before it, to distinguish attachments with the same bytes."""
    seen: Counter[str] = Counter()
    marks = []
    for digest in digests:
        marks.append((digest, seen[digest]))
        seen[digest] += 1
    return marks


def _values(row: Attachment) -> dict[str, Any]:
    return {name: getattr(row, name) for name in mime_message.ParsedAttachment.__dataclass_fields__}
