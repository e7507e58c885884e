"""The kinds of retention rules: for each, the rows that are old enough and not held, and how they are removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from alerts.models import AlertIncident
from mailbox.db.ignoring_case import contains
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import AuditEntry, LetGo, Message, MessagePlace, RetentionRule, SyncRun
from mailbox.models.file_kinds import LARGE_MAIL
from mailbox.search.index import unindex
from outbox.legal_holds import of_drafts, of_outbox
from outbox.models import DeliveryReport, Draft, OutboxMessage, SentCopy

What = RetentionRule.What
Rows = QuerySet[Any]
LET_GO = ("folder_id", "uidvalidity", "uid", "received_at", "size", "header_digest")  # columns copied from a place
LOOKED_AT = 50_000  # rows that a preview counts at most
BEHIND_ALL = 2**63 - 1  # the largest key


@dataclass(frozen=True)
class RetentionKind:
    """One kind of rule.

    rows: (rule, legal holds, time) -> the rows to be removed, without held ones. remove: (rows, pks) -> removes the
    rows with these pks, within the caller's transaction. size: the column with the size in bytes, or "".
    least_days: the shortest age that a rule may have. is_by_key: rows of one account are read by their key, as no index
    has them by their age.
    """

    rows: Callable[[RetentionRule, LegalHolds, datetime], Rows]
    remove: Callable[[Rows, list[int]], None]
    order: tuple[str, ...]  # oldest first, in an index's order, so that a batch does not read all younger rows
    size: str = ""
    least_days: int = 1
    takes_account: bool = True
    takes_folder: bool = False
    is_by_key: bool = False

    def order_of(self, rule: RetentionRule) -> tuple[str, ...]:
        """The columns by which this rule's rows are read, of which the last one is the key."""
        return ("pk",) if self.is_by_key and rule.account_id and not rule.larger_than else self.order


@dataclass(frozen=True)
class RetentionPreview:
    """What a rule would remove: number of rows and size in bytes.

    held: rows that are only kept by legal holds; None if they are too many to count. is_more: there are more rows than
    `number`, and `size` is that of the first `number` rows.
    """

    number: int
    size: int | None
    held: int | None
    is_more: bool


def preview(rule: RetentionRule, now: datetime) -> RetentionPreview:
    """What the rule would remove now."""
    kind, legal_holds = KINDS[rule.what], LegalHolds.standing()
    rows = kind.rows(rule, legal_holds, now).order_by(*kind.order_of(rule))
    number = rows.values("pk")[: LOOKED_AT + 1].count()
    size = None
    if kind.size:
        counted = rows.values("pk", kind.size)[:LOOKED_AT]
        size = counted.aggregate(size=Coalesce(Sum(kind.size), 0))["size"]
    if number > LOOKED_AT:
        return RetentionPreview(LOOKED_AT, size, None if legal_holds.is_any else 0, True)
    held = 0
    if legal_holds.is_any:
        held = max(kind.rows(rule, LegalHolds(), now).values("pk")[: number + LOOKED_AT + 1].count() - number, 0)
    return RetentionPreview(number, size, held if held <= LOOKED_AT else None, False)


def _of_account(rows: Rows, rule: RetentionRule, field: str = "account") -> Rows:
    return rows.filter(**{field: rule.account_id}) if rule.account_id else rows


def _picked_of_account(rows: Rows, rule: RetentionRule, field: str = "account") -> Rows:
    """_of_account() for rows that another condition or the key finds: with the bare column, SQLite reads all that the
    account has for each look-up."""
    return rows.alias(whose=Coalesce(field, Value(0))).filter(whose=rule.account_id) if rule.account_id else rows


def _old_of_account(rows: Rows, rule: RetentionRule, age: str, now: datetime) -> Rows:
    """The account's rows before the first of all that are too young, for an order by the key: rows are written in the
    order of their keys. What a wrong clock wrote behind that row is found when it is old, too."""
    if not rule.account_id:
        return rows
    young = rows.model._default_manager.filter(**{f"{age}__gte": rule.cutoff(now)})
    first = Subquery(young.order_by(age, "pk").values("pk")[:1])
    return rows.filter(account=rule.account_id, pk__lt=Coalesce(first, Value(BEHIND_ALL)))


def _received(rule: RetentionRule, legal_holds: LegalHolds, now: datetime) -> Rows:
    """Received mail by its INTERNALDATE (RFC 3501 2.3.3), which senders cannot set. With a folder: only messages that
    are in folders of that name and in no other."""
    rows: Rows = Message.objects.filter(received_at__lt=rule.cutoff(now))
    if rule.larger_than:
        rows = _picked_of_account(rows.filter(size__gte=LARGE_MAIL, size__gt=rule.larger_than), rule)
    else:
        rows = _of_account(rows, rule)
    if rule.folder:
        lying = MessagePlace.objects.present().filter(message=OuterRef("pk"))
        rows = rows.filter(Exists(lying.filter(folder__name=rule.folder)))
        rows = rows.exclude(Exists(lying.exclude(folder__name=rule.folder)))
    return rows.exclude(legal_holds.of_messages())


def _sent(rule: RetentionRule, legal_holds: LegalHolds, now: datetime) -> Rows:
    """Sent and cancelled mail. Not mail with a bounce or complaint that nobody has acknowledged, nor mail whose copy in
    Sent is still to be made."""
    old = Q(created_at__lt=rule.cutoff(now), updated_at__lt=rule.cutoff(now))
    over = Q(state__in=[OutboxMessage.Status.SENT, OutboxMessage.Status.CANCELLED])
    # With the bare column, SQLite reads all sent mail by an index of the status and sorts it for each look-up.
    rows: Rows = OutboxMessage.objects.alias(state=Coalesce("status", Value("")))
    rows = rows.filter(old & over)
    if rule.larger_than:
        rows = _picked_of_account(rows.filter(mime_size__gte=LARGE_MAIL, mime_size__gt=rule.larger_than), rule)
    else:
        rows = _old_of_account(rows, rule, "created_at", now)
    unseen = DeliveryReport.objects.unacknowledged().filter(outbox=OuterRef("pk"))
    copying = SentCopy.objects.filter(outbox=OuterRef("pk"), state=SentCopy.State.WAITING)
    return rows.exclude(Exists(unseen)).exclude(Exists(copying)).exclude(of_outbox(legal_holds))


def _reports(rule: RetentionRule, legal_holds: LegalHolds, now: datetime) -> Rows:
    unseen = DeliveryReport.objects.unacknowledged().values("pk")
    rows = DeliveryReport.objects.filter(reported_at__lt=rule.cutoff(now)).exclude(pk__in=unseen)
    held = legal_holds.of_accounts("outbox__account")
    for address in legal_holds.addresses:
        held |= contains("address", address)
    return _picked_of_account(rows, rule, "outbox__account").exclude(held)


def _activity(rule: RetentionRule, legal_holds: LegalHolds, now: datetime) -> Rows:
    rows = AuditEntry.objects.filter(at__lt=rule.cutoff(now))
    return _old_of_account(rows, rule, "at", now).exclude(legal_holds.of_accounts())


def _runs(rule: RetentionRule, legal_holds: LegalHolds, now: datetime) -> Rows:
    return SyncRun.objects.filter(started_at__lt=rule.cutoff(now), finished_at__isnull=False)


def _drafts(rule: RetentionRule, legal_holds: LegalHolds, now: datetime) -> Rows:
    rows = Draft.objects.filter(updated_at__lt=rule.cutoff(now))
    return _of_account(rows, rule).exclude(of_drafts(legal_holds))


def _incidents(rule: RetentionRule, legal_holds: LegalHolds, now: datetime) -> Rows:
    rows = AlertIncident.objects.filter(closed_at__lt=rule.cutoff(now))
    return _of_account(rows, rule).exclude(legal_holds.of_accounts())


def _remove(rows: Rows, pks: list[int]) -> None:
    rows.model._default_manager.filter(pk__in=pks).delete()


def _remove_received(rows: Rows, pks: list[int]) -> None:
    """Remove received mail; note the places that the server still has (LetGo), so that no sync fetches it again."""
    lying = MessagePlace.objects.present().filter(message__in=pks).values(*LET_GO)
    LetGo.objects.bulk_create([LetGo(**place) for place in lying], ignore_conflicts=True)
    unindex(pks)
    _remove(rows, pks)


KINDS: dict[str, RetentionKind] = {
    What.RECEIVED: RetentionKind(_received, _remove_received, ("received_at", "pk"), size="size", takes_folder=True),
    # A row has the idempotency key, and later bounces need it to find their mail: it stays for a month at least.
    What.SENT: RetentionKind(_sent, _remove, ("created_at", "pk"), size="mime_size", least_days=30, is_by_key=True),
    What.REPORTS: RetentionKind(_reports, _remove, ("pk",)),
    What.ACTIVITY: RetentionKind(_activity, _remove, ("at", "pk"), least_days=30, is_by_key=True),
    What.RUNS: RetentionKind(_runs, _remove, ("started_at", "pk"), takes_account=False),
    What.DRAFTS: RetentionKind(_drafts, _remove, ("pk",)),
    What.INCIDENTS: RetentionKind(_incidents, _remove, ("closed_at", "pk")),
}
