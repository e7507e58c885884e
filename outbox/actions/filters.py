"""The filters of the outbox list, as the query of its URL states them: for its page, the API and bulk actions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from urllib.parse import parse_qsl, urlencode

from django.db.models import Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.db.ignoring_case import contains, contains_as_usual
from mailbox.models import Account
from outbox.errors import ErrorCode
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage, OutboxRecipient
from outbox.models.messages import DomainOf, OutboxQuerySet

TEXT_LIMIT = 200
STATES = ("queued", "sending", "retrying", "needs_decision", "failed_for_good", "sent", "cancelled")
MARKS = {"bounced": _("Bounced"), "unseen": _("Bounced, not seen"), "scheduled": _("Scheduled"), "drill": _("Drills")}
ERRORS = {
    ErrorCode.NETWORK.value: _("Network"),
    ErrorCode.PROVIDER.value: _("Server's answer"),
    ErrorCode.VALIDATION.value: _("The mail itself"),
    ErrorCode.FEATURE_DISABLED.value: _("Switched off"),
    ErrorCode.STORAGE.value: _("Storage here"),
}
AGES = {
    "under-1h": (_("Under an hour old"), timedelta(hours=1)),
    "under-1d": (_("Under a day old"), timedelta(days=1)),
    "under-7d": (_("Under a week old"), timedelta(days=7)),
    "over-1h": (_("Over an hour old"), timedelta(hours=1)),
    "over-1d": (_("Over a day old"), timedelta(days=1)),
    "over-7d": (_("Over a week old"), timedelta(days=7)),
}
_CODE = re.compile(r"[45](\d\d|xx)", re.IGNORECASE | re.ASCII)
KEY_SLACK = 1_000  # rows written at the same time may have pks and times in a different order


class NoSuchFilter(Exception):
    """The URL has an unknown value for a filter. str() is a sentence for the page."""


def _of_age(rows: OutboxQuerySet, edge: datetime, *, is_under: bool) -> OutboxQuerySet:
    """Rows written before or after `edge`.

    Lists are ordered by primary key, so the query also bounds the primary key, near the row written at `edge`. Without
    that the database would read all newer rows, or compare the times of all rows of a state.
    """
    by_time = OutboxMessage.objects.order_by("created_at" if is_under else "-created_at").values("pk")
    if is_under:
        first = Subquery(by_time.filter(created_at__gt=edge)[:1]) - KEY_SLACK
        return rows.filter(created_at__gt=edge, pk__gte=first)
    last = Subquery(by_time.filter(created_at__lt=edge)[:1]) + KEY_SLACK
    return rows.filter(created_at__lt=edge, pk__lte=last)


def _day(given: str) -> date:
    """The date in ISO form. Raises NoSuchFilter, also for the last day of the calendar, which has no end."""
    try:
        day = date.fromisoformat(given)
        _bounds(day)
    except (ValueError, OverflowError) as error:
        raise NoSuchFilter(
            gettext("“%(given)s” is no day; write it as in 2026-03-31.") % {"given": given[:40]}
        ) from error
    return day


def _bounds(day: date) -> tuple[datetime, datetime]:
    begin, end = (datetime.combine(each, time.min) for each in (day, day + timedelta(days=1)))
    return timezone.make_aware(begin), timezone.make_aware(end)


def _sent_on(rows: OutboxQuerySet, day: date) -> OutboxQuerySet:
    """Rows sent on that day, by the index over account and time: it is asked for each account."""
    begin, end = _bounds(day)
    sent = OutboxMessage.objects.filter(account__in=Account.objects.order_by().values("pk"))
    return rows.filter(pk__in=sent.filter(sent_at__gte=begin, sent_at__lt=end).order_by().values("pk"))


@dataclass(frozen=True)
class OutboxFilters:
    """The filters of a URL. Links contain all of them, so that a filtered page can be shared."""

    state: str = ""
    account: int | None = None
    reason: str = ""
    text: str = ""
    mark: str = ""
    error: str = ""  # an errors.ErrorCode
    code: str = ""  # "550", or "5xx" for all of its class
    domain: str = ""
    age: str = ""  # a key of AGES
    said: str = ""  # text in the error of a failed mail
    sent_on: date | None = None  # in the time zone of whoever reads
    among: tuple[int, ...] = ()  # account pks to which a program's token is limited; empty: all accounts

    @classmethod
    def of(cls, given: dict[str, str]) -> OutboxFilters:
        """The filters of a URL's parameters. Raises NoSuchFilter. The caller checks that `account` is a number."""
        known = {"state": STATES, "reason": OutboxMessage.Hold.values, "mark": MARKS, "error": ERRORS, "age": AGES}
        for name, values in known.items():
            value = given.get(name, "")
            if value and value not in values:
                raise NoSuchFilter(
                    gettext("The outbox knows no “%(value)s” in “%(name)s”. Choose one from its list.")
                    % {"name": name, "value": value[:40]}
                )
        code = given.get("code", "").strip().lower()
        if code and not _CODE.fullmatch(code):
            raise NoSuchFilter(
                gettext("“%(code)s” is no code of a refusal. Write it as in 550, or 5xx for all of them.")
                % {"code": code[:40]}
            )
        account, sent_on = given.get("account", ""), given.get("sent_on", "")
        return cls(
            **{name: given.get(name, "") for name in known},
            account=int(account) if account else None,
            text=given.get("q", "").replace("\0", "").strip()[:TEXT_LIMIT],
            code=code,
            domain=given.get("domain", "").replace("\0", "").strip().lower().lstrip("@")[:TEXT_LIMIT],
            said=given.get("said", "").replace("\0", "").strip()[:TEXT_LIMIT],
            sent_on=_day(sent_on) if sent_on else None,
            among=tuple(int(each) for each in given.get("among", "").split(",") if each.isdecimal()),
        )

    @classmethod
    def of_query(cls, query: str) -> OutboxFilters:
        """The filters of a query string that query() made."""
        return cls.of(dict(parse_qsl(query)))

    @property
    def accounts(self) -> set[int]:
        """The pks of accounts that rows must belong to; empty for any account."""
        return {self.account} if self.account else set(self.among)

    def pairs(self) -> dict[str, str]:
        """The URL's parameters, without empty ones."""
        values: dict[str, object] = {
            "state": self.state,
            "account": self.account,
            "reason": self.reason,
            "q": self.text,
        }
        values |= {"mark": self.mark, "error": self.error, "code": self.code, "domain": self.domain, "age": self.age}
        values |= {"said": self.said, "sent_on": self.sent_on, "among": ",".join(map(str, self.among))}
        return {name: str(value) for name, value in values.items() if value}

    def query(self, **changes: object) -> str:
        """The query string of these filters with some changed."""
        return urlencode(replace(self, **changes).pairs())  # type: ignore[arg-type]

    @property
    def in_english(self) -> str:
        """The filters for the activity, as "state failed for good, code 550"; "" for none."""
        ours = ("state", "reason")
        named = self.pairs().items()
        return ", ".join(f"{name} {value.replace('_', ' ') if name in ours else value}" for name, value in named)

    @property
    def narrows(self) -> bool:
        """Whether a filter other than the state is set."""
        return bool(replace(self, state="").pairs())

    def narrow(self, rows: OutboxQuerySet, now: datetime) -> OutboxQuerySet:
        """Apply all filters but the state, which the tabs choose. Ages count back from `now`."""
        if self.account:
            rows = rows.filter(account=self.account)
        if self.among:
            rows = rows.filter(account__in=self.among)
        if self.reason:
            rows = rows.filter(status="failed", hold=self.reason)  # only failed rows have a hold; uses outbox_tab
        if self.said:
            rows = rows.filter(contains("error", self.said), status="failed")  # few rows are failed; uses outbox_tab
        if self.error:
            rows = rows.filter(error_code__gt="", error_code=self.error)  # the first matches the index's condition
        if self.code:
            low, high = (
                (int(f"{self.code[0]}00"), int(f"{self.code[0]}99")) if "x" in self.code else (int(self.code),) * 2
            )
            # ">= 300" is the condition of the indexes of refusals: few of a million rows were ever refused.
            said = Q(reply_code__gte=300, reply_code__range=(low, high))
            attempts, recipients = DeliveryAttempt.objects.filter(said), OutboxRecipient.objects.filter(said)
            # A union, as PostgreSQL would read every row for an OR.
            rows = rows.filter(pk__in=attempts.order_by().values("outbox").union(recipients.values("outbox")))
        if self.domain:
            there = OutboxRecipient.objects.annotate(domain=DomainOf("address")).filter(domain=self.domain)
            rows = rows.filter(pk__in=there.values("outbox"))
        if self.sent_on:
            rows = _sent_on(rows, self.sent_on)
        if self.age:
            rows = _of_age(rows, now - AGES[self.age][1], is_under=self.age.startswith("under"))
        return self._with_text(self._with_mark(rows, now))

    def _with_mark(self, rows: OutboxQuerySet, now: datetime) -> OutboxQuerySet:
        if self.mark == "bounced":
            return rows.filter(DeliveryReport.objects.bounced_rows())
        if self.mark == "unseen":
            return rows.filter(pk__in=DeliveryReport.objects.unacknowledged().values("outbox"))
        if self.mark == "drill":
            attempts = DeliveryAttempt.objects.filter(failure_mode__gt="").order_by().values("outbox")
            return rows.filter(pk__in=attempts.union(OutboxMessage.objects.filter(failure_mode__gt="").values("pk")))
        if self.mark == "scheduled":
            return rows.queued().filter(send_at__gt=now)
        return rows

    def _with_text(self, rows: OutboxQuerySet) -> OutboxQuerySet:
        if not self.text:
            return rows
        words = [contains_as_usual(name, self.text) for name in ("subject", "to", "cc", "bcc")]
        return rows.filter(words[0] | words[1] | words[2] | words[3])

    def of_state(self, rows: OutboxQuerySet) -> OutboxQuerySet:
        """The rows in the state of the filters; all if it is ""."""
        return _OF_STATE[self.state](rows) if self.state else rows


_OF_STATE = {
    "queued": OutboxQuerySet.queued,
    "sending": OutboxQuerySet.sending,
    "retrying": OutboxQuerySet.retrying,
    "needs_decision": OutboxQuerySet.needs_decision,
    "failed_for_good": OutboxQuerySet.failed_for_good,
    "sent": OutboxQuerySet.sent,
    "cancelled": OutboxQuerySet.cancelled,
}
