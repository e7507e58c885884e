"""The attachments that a user may see, received and sent, filtered by the URL's query and ordered by date."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.localized import listed
from mailbox.models import Attachment
from mailbox.models.file_kinds import KINDS, LARGE_FROM, KindOf
from mailbox.models.messages import UNLISTED
from mailbox.views.pagination import cut
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.requests import Refused, number_of
from outbox.models import OutboxAttachment

DIRECTIONS = {"": _("Both ways"), "received": _("Received"), "sent": _("Written here")}
# Value in the URL -> (label, smallest number of bytes).
SIZES = {
    "100k": (_("from 100 kB"), LARGE_FROM),
    "1m": (_("from 1 MB"), 1_000_000),
    "10m": (_("from 10 MB"), 10_000_000),
    "25m": (_("from 25 MB"), 25_000_000),
}
TEXT_LIMIT = 200
LOOKED_AT = 30_000  # files of each direction whose names one page searches
SPARE = 200  # files read beyond a page, since the mail of some may be gone
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RECEIVED, _SENT = 1, 0  # order of files with the same time: received ones first


@dataclass(frozen=True)
class AttachmentFilters:
    """The filters in the URL's query; links keep all of them."""

    direction: str = ""
    type: str = ""
    size: str = ""
    account: int | None = None
    since: str = ""
    until: str = ""
    text: str = ""

    @classmethod
    def read(cls, request: HttpRequest) -> AttachmentFilters:
        """The filters of this request. Raises Refused for invalid ones."""
        return cls(
            direction=_one_of(request, "direction", DIRECTIONS),
            type=_one_of(request, "type", KINDS),
            size=_one_of(request, "size", SIZES),
            account=number_of(request, "account"),
            since=_day(request, "since"),
            until=_day(request, "until"),
            text=request.GET.get("q", "").replace("\0", "").strip()[:TEXT_LIMIT],
        )

    def query(self, **changes: str) -> str:
        """The query string of these filters, with changes."""
        wanted = replace(self, **changes)  # type: ignore[arg-type]
        pairs = vars(wanted) | {"q": wanted.text}
        return urlencode({name: value for name, value in pairs.items() if value and name != "text"})

    @property
    def is_any(self) -> bool:
        """Whether a filter other than the direction is set."""
        return self != AttachmentFilters(direction=self.direction)

    def narrow(self, rows: QuerySet[Any], at: str) -> QuerySet[Any]:
        """Apply the filters that both directions share. `at`: name of the time's field."""
        if self.type:
            rows = rows.alias(kind=KindOf("content_type")).filter(kind=self.type)
        if self.size:
            # Two conditions: the first is that of the partial index of large files.
            rows = rows.filter(size__gte=LARGE_FROM).filter(size__gte=SIZES[self.size][1])
        if self.since:
            rows = rows.filter(**{f"{at}__gte": _start_of(self.since)})
        if self.until:
            rows = rows.filter(**{f"{at}__lt": _start_of(self.until) + timedelta(days=1)})
        return rows


def _one_of(request: HttpRequest, name: str, known: dict[str, Any]) -> str:
    given = request.GET.get(name, "")
    if given and given not in known:
        raise Refused(
            gettext("There is no “%(given)s” in “%(name)s”. Choose one of: %(known)s.")
            % {"name": name, "given": given[:40], "known": listed(filter(None, known))}
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


@dataclass(frozen=True, order=True)
class AttachmentCursor:
    """The position in the list: after the file with this time, direction and pk."""

    at: datetime
    kind: int
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.kind}-{self.pk}"

    @classmethod
    def of(cls, row: Any) -> AttachmentCursor:
        """The cursor after this row of the list, which has `at` and `is_received`."""
        return cls(row.at, int(row.is_received), row.pk)

    @classmethod
    def read(cls, text: str) -> AttachmentCursor | None:
        """The cursor in the URL; None for "". Raises Refused for a text that str() of a cursor never is."""
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
        """The files of a direction after this one, in descending order of (time, direction, pk)."""
        before, same = Q(**{f"{field}__lt": self.at}), Q(**{f"{field}__lte": self.at})
        if kind == self.kind:
            return same & (before | Q(pk__lt=self.pk))
        return same if kind < self.kind else before


@dataclass(frozen=True)
class _Direction:
    """Received or sent files: the rows, the name of the time's field, the condition on their mail."""

    kind: int
    name: str
    at: str
    rows: Callable[[], QuerySet[Any]]
    there: Callable[[QuerySet[Any]], QuerySet[Any]]  # leaves out files whose mail is gone
    with_mail: Callable[[QuerySet[Any]], QuerySet[Any]]


def find(
    filters: AttachmentFilters, seen: Mapping[str, Collection[int] | None], before: AttachmentCursor | None, limit: int
) -> tuple[list[Any], AttachmentCursor | None]:
    """(a page of files of both directions, the newest first; the cursor of the next page). Sets `is_received` and `at`
    on each file.

    seen: direction -> pks of the accounts whose files the user may see; None: all.

    At most `limit` files of each direction are read. Names have no index: a page searches LOOKED_AT files of each
    direction, and the cursor continues from there. So a page may be short and still have a next one.
    """
    rows: list[Any] = []
    stops: list[AttachmentCursor] = []
    for side in _SIDES:
        if filters.direction not in ("", side.name):
            continue
        found = filters.narrow(side.rows(), side.at).order_by(f"-{side.at}", "-pk")
        found = found.filter(before.older(side.at, side.kind)) if before else found
        if filters.text:
            looked_at = newest_of_accounts(found, seen[side.name], LOOKED_AT)
            found, stop = _named(looked_at, filters.text, side, limit)
            stops += [stop] if stop else []
        else:
            found = newest_of_accounts(side.there(found), seen[side.name], limit + 1)
        for row in side.with_mail(side.there(found))[: limit + 1]:
            row.is_received, row.at = side.kind == _RECEIVED, getattr(row, side.at)
            rows.append(row)
    rows.sort(key=AttachmentCursor.of, reverse=True)
    if stops:  # files of the other direction beyond the first stop would be out of order: cut them off
        stop = max(stops)
        rows = [row for row in rows if AttachmentCursor.of(row) >= stop]
        if len(rows) <= limit:
            return rows, stop
    page, last = cut(rows, limit)
    return page, AttachmentCursor.of(last) if last else None


def _named(
    found: QuerySet[Any], text: str, side: _Direction, limit: int
) -> tuple[QuerySet[Any], AttachmentCursor | None]:
    """The files among the next LOOKED_AT with this text in their name, and where the search ended if more follow."""
    # Times as text: converting each to a datetime would take longer than all the rest.
    columns = found.annotate(at_text=Cast(side.at, TextField())).values_list("pk", "filename", "at_text")
    looked_at, wanted = list(columns[:LOOKED_AT]), text.casefold()
    named = [row for row in looked_at if wanted in row[1].casefold()]
    end = looked_at[-1] if len(looked_at) == LOOKED_AT else None
    if len(named) > (most := limit + SPARE):
        named = named[:most]
        end = named[-1]
    rows = found.model._default_manager.filter(pk__in=[row[0] for row in named]).order_by(f"-{side.at}", "-pk")
    return rows, AttachmentCursor(_moment(end[2]), side.kind, end[0]) if end else None


def _moment(text: str) -> datetime:
    """A time as the database writes it; SQLite's are in UTC and do not say so."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _received() -> QuerySet[Any]:
    return Attachment.objects.filter(removed_at=None)


def _with_mail_there(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.filter(message__gone_at=None)


def _with_message(rows: QuerySet[Any]) -> QuerySet[Any]:
    rows = rows.select_related("message__account")
    return rows.defer(*(f"message__{name}" for name in (*UNLISTED, "attachments")))


def _sent() -> QuerySet[Any]:
    return OutboxAttachment.objects.all()


def _with_outbox(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.select_related("outbox__account").defer("outbox__body_text", "outbox__body_html")


_SIDES = (
    _Direction(_RECEIVED, "received", "received_at", _received, _with_mail_there, _with_message),
    _Direction(_SENT, "sent", "created_at", _sent, lambda rows: rows, _with_outbox),
)
