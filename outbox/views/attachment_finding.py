"""Which attachments a person may see, both ways, filtered as the address says and in the order of their mail's date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from mailbox.models import Attachment
from mailbox.views.asking import Refused, cut, number_of, of_accounts
from mailbox.words import Words
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from outbox.models import OutboxAttachment

DIRECTIONS = {"": _("Both ways"), "received": _("Received"), "sent": _("Written here")}
# What the address calls a kind of file, its label, and how its types begin.
TYPES: dict[str, tuple[Words, tuple[str, ...]]] = {
    "image": (_("Images"), ("image/",)),
    "pdf": ("PDF", ("application/pdf",)),
    "text": (_("Text"), ("text/",)),
    "archive": (_("Archives"), ("application/zip", "application/x-", "application/gzip", "application/vnd.rar")),
    "office": (_("Office documents"), ("application/vnd.", "application/msword", "application/rtf")),
    "message": (_("Messages"), ("message/",)),
    "media": (_("Sound and video"), ("audio/", "video/")),
}
# What the address calls a size, its label, and the smallest number of bytes.
SIZES = {
    "100k": (_("from 100 kB"), 100_000),
    "1m": (_("from 1 MB"), 1_000_000),
    "10m": (_("from 10 MB"), 10_000_000),
    "25m": (_("from 25 MB"), 25_000_000),
}
TEXT_LIMIT = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RECEIVED, _SENT = 1, 0  # of equal times, what was received stands first


@dataclass(frozen=True)
class Filters:
    """What the address asks for. Every part of it is kept in links, so that a page can be passed on."""

    direction: str = ""
    type: str = ""
    size: str = ""
    account: int | None = None
    since: str = ""
    until: str = ""
    text: str = ""

    @classmethod
    def read(cls, request: HttpRequest) -> Filters:
        """Raises Refused for what does not exist."""
        return cls(
            direction=_one_of(request, "direction", DIRECTIONS),
            type=_one_of(request, "type", TYPES),
            size=_one_of(request, "size", SIZES),
            account=number_of(request, "account"),
            since=_day(request, "since"),
            until=_day(request, "until"),
            text=request.GET.get("q", "").replace("\0", "").strip()[:TEXT_LIMIT],
        )

    def query(self, **changes: str) -> str:
        """The address's query for these filters, with changes."""
        wanted = replace(self, **changes)  # type: ignore[arg-type]
        pairs = vars(wanted) | {"q": wanted.text}
        return urlencode({name: value for name, value in pairs.items() if value and name != "text"})

    @property
    def is_any(self) -> bool:
        return self != Filters(direction=self.direction)

    def narrow(self, rows: QuerySet[Any], at: str) -> QuerySet[Any]:
        """The filters that files of both directions share; `at` is the field with the time."""
        if self.type:
            starts = [Q(content_type__startswith=start) for start in TYPES[self.type][1]]
            condition = starts[0]
            for start in starts[1:]:
                condition |= start
            rows = rows.filter(condition)
        if self.size:
            rows = rows.filter(size__gte=SIZES[self.size][1])
        if self.since:
            rows = rows.filter(**{f"{at}__gte": _start_of(self.since)})
        if self.until:
            rows = rows.filter(**{f"{at}__lt": _start_of(self.until) + timedelta(days=1)})
        return rows.filter(filename__icontains=self.text) if self.text else rows


def _one_of(request: HttpRequest, name: str, known: dict[str, Any]) -> str:
    given = request.GET.get(name, "")
    if given and given not in known:
        raise Refused(
            gettext("There is no “%(given)s” in “%(name)s”. Choose one of: %(known)s.")
            % {"name": name, "given": given[:40], "known": ", ".join(filter(None, known))}
        )
    return given


def _day(request: HttpRequest, name: str) -> str:
    given = request.GET.get(name, "")
    try:
        day = parse_date(given) if given else None
    except ValueError:
        day = None
    if given and (day is None or not 1970 <= day.year <= 9000):
        raise Refused(gettext("“%(given)s” is no day. Write it as in 2026-03-01.") % {"given": given[:40]})
    return day.isoformat() if day else ""


def _start_of(day: str) -> datetime:
    return timezone.make_aware(datetime.fromisoformat(day))


@dataclass(frozen=True)
class Mark:
    """Where the list goes on: after the file of this time, direction and key. Never an offset."""

    at: datetime
    kind: int
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.kind}-{self.pk}"

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """Raises Refused for what no list has written."""
        if not text:
            return None
        try:
            at, kind, pk = (int(part) for part in text.split("-"))
            if kind not in (_RECEIVED, _SENT) or not 0 <= pk < 2**63:
                raise ValueError(text)
            return cls(_EPOCH + timedelta(microseconds=at), kind, pk)
        except (ValueError, OverflowError) as error:
            raise Refused(gettext("The address names no place in this list; start from its first page.")) from error

    def older(self, field: str, kind: int) -> Q:
        """Files of a direction that come after this one, as (time, direction, pk) descending."""
        before, same = Q(**{f"{field}__lt": self.at}), Q(**{f"{field}__lte": self.at})
        if kind == self.kind:
            return same & (before | Q(pk__lt=self.pk))
        return same if kind < self.kind else before


def find(request: HttpRequest, filters: Filters, before: Mark | None, limit: int) -> tuple[list[Any], Mark | None]:
    """A page of both directions, newest first: `limit` of each are read at most, whatever the table holds.

    Each row gets `is_received` and `at`.
    """
    rows: list[Any] = []
    wanted: list[tuple[int, str, str, Callable[[HttpRequest, int | None], QuerySet[Any]]]] = [
        (_RECEIVED, "received", "message__received_at", _received),
        (_SENT, "sent", "outbox__created_at", _sent),
    ]
    for kind, direction, at, source in wanted:
        if filters.direction not in ("", direction):
            continue
        found = filters.narrow(source(request, filters.account), at)
        found = found.filter(before.older(at, kind)) if before else found
        for row in found.order_by(f"-{at}", "-pk")[: limit + 1]:
            row.is_received = kind == _RECEIVED
            row.at = row.message.received_at if row.is_received else row.outbox.created_at
            rows.append(row)
    rows.sort(key=lambda row: (row.at, row.is_received, row.pk), reverse=True)
    page, last = cut(rows, limit)
    return page, Mark(last.at, int(last.is_received), last.pk) if last else None


def _received(request: HttpRequest, account: int | None) -> QuerySet[Any]:
    rows = Attachment.objects.filter(removed_at=None, message__gone_at=None)
    rows = of_accounts(rows, request, field="message__account").select_related("message__account")
    rows = rows.filter(message__account=account) if account else rows
    heavy = ("body_text", "body_html", "references_header", "recipients", "cc", "bcc", "attachments", "parse_defects")
    return rows.defer(*(f"message__{name}" for name in heavy))


def _sent(request: HttpRequest, account: int | None) -> QuerySet[Any]:
    rows = of_accounts(OutboxAttachment.objects.all(), request, field="outbox__account")
    rows = rows.filter(outbox__account=account) if account else rows
    return rows.select_related("outbox__account").defer("outbox__body_text", "outbox__body_html")
