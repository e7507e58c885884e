"""The figures of the charts page: accounts by outcome, how long mail waited to be sent, how far syncs lag.

Each is a few bars with their numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q, QuerySet, Sum
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words, spoken
from mailbox.models import Counter, Folder
from outbox.models.messages import OutboxQuerySet

ACCOUNTS_SHOWN, LATE_SHOWN = 20, 10
MAILS_LOOKED_AT = 5_000  # the newest sent mails
_KINDS = {
    Counter.Name.MESSAGES_RECEIVED: "received",
    Counter.Name.SENDS: "sent",
    Counter.Name.SEND_FAILURES: "failed",
}
# (begin in seconds, words) of each class of waits; it ends where the next begins, the last has no end.
WAITS: tuple[tuple[int, Words], ...] = (
    (0, _("under 10 seconds")),
    (10, _("10 seconds to a minute")),
    (60, _("1 to 10 minutes")),
    (600, _("10 minutes to an hour")),
    (3_600, _("an hour to a day")),
    (86_400, _("longer than a day")),
)
LAGS: tuple[tuple[int, Words], ...] = (
    (0, _("under 2 minutes")),
    (120, _("2 to 15 minutes")),
    (900, _("15 minutes to an hour")),
    (3_600, _("an hour to a day")),
    (86_400, _("longer than a day")),
)


@dataclass
class AccountOutcome:
    """Mail received, sent and failed of one account in a period, and what waits for a person now."""

    pk: int | None  # None: all accounts that are not listed by themselves
    email: str = ""
    received: int = 0
    sent: int = 0
    failed: int = 0
    held: int = 0
    # Lengths of its bars, 0 to 100.
    widths: Mapping[str, float] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        """How many mails were tried."""
        return self.sent + self.failed

    def rank(self) -> tuple[int, int, int, str]:
        """The key by which the list is sorted: mail that waits for a person, failures, mail, address."""
        return -self.held, -self.failed, -self.tried - self.received, self.email

    @property
    def failed_percent(self) -> int | None:
        """Percentage of failed tries, at least 1 if any failed; None without tries."""
        return max(round(100 * self.failed / self.tried), min(self.failed, 1)) if self.tried else None


@dataclass(frozen=True)
class HistogramBar:
    """One class of a distribution, with its number."""

    label: Words
    number: int
    width: float  # length of the bar; 100 for the largest class


@dataclass(frozen=True)
class Waits:
    """How long mail took from the time when it could be sent until the server accepted it."""

    shares: list[HistogramBar]
    count: int
    half: str  # the median, in words
    most: str  # the 95th percentile, in words
    is_cut: bool  # the period has more mails than were looked at


@dataclass(frozen=True)
class LateAccount:
    """An account, and when it was last up to date in all folders; None for never."""

    pk: int
    email: str
    up_to_date_at: datetime | None


@dataclass(frozen=True)
class Lags:
    """How long ago each syncing account was up to date in all its folders."""

    shares: list[HistogramBar]
    furthest: list[LateAccount]


def by_account(
    counters: QuerySet[Counter], outbox: OutboxQuerySet, start: datetime
) -> tuple[list[AccountOutcome], AccountOutcome | None]:
    """The accounts to list, and all others summed up (None if there are none).

    First those with mail that waits for a person, then by failures, then by mail.
    """
    counted = counters.filter(hour__gte=start, name__in=_KINDS).order_by()
    found: dict[int, AccountOutcome] = {}
    for pk, email, name, total in counted.values_list("account_id", "account__email", "name").annotate(Sum("value")):
        setattr(found.setdefault(pk, AccountOutcome(pk, email)), _KINDS[Counter.Name(name)], total)
    held = outbox.filter(status="failed").exclude(hold="").order_by()
    for pk, email, number in held.values_list("account_id", "account__email").annotate(Count("pk")):
        found.setdefault(pk, AccountOutcome(pk, email)).held = number
    ranked = sorted(found.values(), key=AccountOutcome.rank)
    named, rest = ranked[:ACCOUNTS_SHOWN], ranked[ACCOUNTS_SHOWN:]
    _measure(named)
    return named, _together(rest) if rest else None


def _together(rows: Sequence[AccountOutcome]) -> AccountOutcome:
    sums = {name: sum(getattr(row, name) for row in rows) for name in ("received", "sent", "failed", "held")}
    return AccountOutcome(None, "", **sums)


def _measure(rows: Sequence[AccountOutcome]) -> None:
    most = max((max(row.received, row.tried) for row in rows), default=0) or 1
    for row in rows:
        row.widths = {name: _width(getattr(row, name), most) for name in ("received", "sent", "failed")}


def _width(count: int, most: int) -> float:
    return round(max(1.0, 100 * count / most), 1) if count else 0


def shared(counts: Sequence[int], limits: Sequence[tuple[int, Words]]) -> list[HistogramBar]:
    """The classes of a distribution with these numbers. limits: (least, label) of each class, in the same order."""
    most = max(counts, default=0) or 1
    return [
        HistogramBar(label, number, _width(number, most))
        for (_least, label), number in zip(limits, counts, strict=True)
    ]


def _tallied(seconds: Iterable[float], limits: Sequence[tuple[int, Words]]) -> list[int]:
    counts, edges = [0] * len(limits), [least for least, _label in limits]
    for each in seconds:
        counts[bisect_right(edges, max(each, 0)) - 1] += 1
    return counts


def waits(newest_sent: OutboxQuerySet, start: datetime) -> Waits:
    """The waits of mail accepted since `start`, among the newest MAILS_LOOKED_AT.

    The wait begins when the mail could be sent: after a chosen time to send, and after the undo window.
    """
    times = newest_sent.values_list("created_at", "send_at", "undo_until", "sent_at")[:MAILS_LOOKED_AT]
    rows, took = list(times), list[float]()
    for created_at, send_at, undo_until, sent_at in rows:
        if sent_at and sent_at >= start:
            might_go_at = max(each for each in (created_at, send_at, undo_until) if each)
            took.append(max((sent_at - might_go_at) / timedelta(seconds=1), 0))
    took.sort()
    is_cut = len(rows) == MAILS_LOOKED_AT and rows[-1][0] >= start
    words = [spoken_exactly(took[int(len(took) * part)]) if took else "" for part in (0.5, 0.95)]
    return Waits(shared(_tallied(took, WAITS), WAITS), len(took), words[0], words[1], is_cut)


def spoken_exactly(seconds: float) -> str:
    """The duration in its largest unit, never "0"."""
    return spoken(max(seconds, 1))


def lags(folders: QuerySet[Folder], now: datetime) -> Lags:
    """The lags of the accounts. `folders`: those that are synced. One query, one row for each account."""
    never = Count("pk", filter=Q(sync_state__last_success_at=None))
    by_account = folders.order_by().values_list("account_id", "account__email")
    rows = [
        LateAccount(pk, email, None if missing else oldest)
        for pk, email, oldest, missing in by_account.annotate(oldest=Min("sync_state__last_success_at"), never=never)
    ]
    counts = _tallied(((now - row.up_to_date_at).total_seconds() for row in rows if row.up_to_date_at), LAGS)
    limits = (*LAGS, (0, _("never yet")))
    shares = shared([*counts, sum(row.up_to_date_at is None for row in rows)], limits) if rows else []
    rows.sort(key=lambda row: (row.up_to_date_at is not None, row.up_to_date_at or now, row.email))
    return Lags(shares, rows[:LATE_SHOWN])
