"""Invitations: the few fields of an iCalendar part (RFC 5545) that tell a person what, when and where. Pure.

Raises nothing for any bytes. A time stays in the zone that the invitation states: no table of zones can be wrong about
it, and the names that Windows gives them need no translation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.utils.formats import date_format, time_format
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from mailbox.mime import charsets

TYPES = ("text/calendar", "application/ics")
MAX_EVENTS = 20
MAX_BYTES = 1_000_000
_MAX_TEXT = 500  # characters of a title, a place, a name
_MAX_ATTENDEES = 1000

_LINE_END = re.compile(r"\r\n|\r|\n")
_FOLD = re.compile(r"(?:\r\n|\r|\n)[ \t]")
_LINE = re.compile(
    r"([A-Za-z0-9-]{1,60})((?:;[A-Za-z0-9-]{1,60}=(?:\"[^\"]*+\"|[^\";:,]*+)(?:,(?:\"[^\"]*+\"|[^\";:,]*+))*+)*+):"
)
_PARAMETER = re.compile(r";([A-Za-z0-9-]+)=(\"[^\"]*+\"|[^\";:]*+)")
_ESCAPE = re.compile(r"\\([nN,;\\])")
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?")
_DURATION = re.compile(r"\+?P(?:(\d{1,5})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,5})S)?)?")
_EVERY = {
    "DAILY": ngettext_lazy("Every day", "Every %(number)s days", "number"),
    "WEEKLY": ngettext_lazy("Every week", "Every %(number)s weeks", "number"),
    "MONTHLY": ngettext_lazy("Every month", "Every %(number)s months", "number"),
    "YEARLY": ngettext_lazy("Every year", "Every %(number)s years", "number"),
}
_METHODS = {
    "REQUEST": _("Invitation"),
    "CANCEL": _("Cancelled"),
    "REPLY": _("Answer to an invitation"),
    "COUNTER": _("Proposal of another time"),
    "ADD": _("Addition to a series"),
}
_ANSWERS = {
    "ACCEPTED": _("%(person)s accepts"),
    "DECLINED": _("%(person)s declines"),
    "TENTATIVE": _("%(person)s may come"),
    "DELEGATED": _("%(person)s sends somebody else"),
}


@dataclass(frozen=True)
class Event:
    """One event as a page tells it; "" where it says nothing."""

    kind: str  # _("Invitation"), "Cancelled", ...
    title: str
    when: str
    repeats: str
    place: str
    organizer: str
    answer: str  # of a reply: who does what
    attendees: int


@dataclass(frozen=True)
class _Property:
    value: str
    parameters: dict[str, str]


def read(octets: bytes) -> list[Event]:
    """The events of a calendar part, in its order."""
    text = charsets.storable(charsets.decode_text(octets[:MAX_BYTES])[0])
    method = ""
    path: list[str] = []
    event: dict[str, list[_Property]] = {}
    found: list[Event] = []
    for name, each in _properties(text):
        if name == "BEGIN":
            path.append(each.value.strip().upper())
            if path[-1] in ("VEVENT", "VTODO"):
                event = {}
        elif name == "END" and path:
            if path.pop() in ("VEVENT", "VTODO") and len(found) < MAX_EVENTS:
                found.append(_event(event, method))
        elif name == "METHOD" and len(path) == 1:
            method = each.value.strip().upper()
        elif path and path[-1] in ("VEVENT", "VTODO"):  # not of an alarm inside
            kept = event.setdefault(name, [])
            if len(kept) < _MAX_ATTENDEES:
                kept.append(each)
    return found


def _properties(text: str) -> Iterator[tuple[str, _Property]]:
    for line in _LINE_END.split(_FOLD.sub("", text)):
        head = _LINE.match(line)
        if head:
            given = _PARAMETER.findall(head[2])
            parameters = {name.upper(): value.strip('"') for name, value in given}
            yield head[1].upper(), _Property(line[head.end() :], parameters)


def _event(event: dict[str, list[_Property]], method: str) -> Event:
    def first(name: str) -> str:
        return _text(event[name][0].value) if name in event else ""

    is_cancelled = first("STATUS").upper() == "CANCELLED"
    attendees = event.get("ATTENDEE", [])
    return Event(
        kind=str(_METHODS["CANCEL"] if is_cancelled else _METHODS.get(method, _("Event"))),
        title=first("SUMMARY"),
        when=_when(event),
        repeats=_repeats(event["RRULE"][0].value) if "RRULE" in event else "",
        place=first("LOCATION"),
        organizer=_person(event["ORGANIZER"][0]) if "ORGANIZER" in event else "",
        answer=_answer(attendees[0]) if method == "REPLY" and attendees else "",
        attendees=len(attendees),
    )


def _text(value: str) -> str:
    """Escapes undone (section 3.3.11), on one line."""
    plain = _ESCAPE.sub(lambda found: " " if found[1] in "nN" else found[1], value[: _MAX_TEXT * 4])
    return " ".join(charsets.unfold(plain).split())[:_MAX_TEXT]


def _person(each: _Property) -> str:
    """`Ann <ann@example.com>`."""
    address = re.sub(r"^mailto:", "", each.value.strip(), flags=re.IGNORECASE)
    name = _text(each.parameters.get("CN", ""))
    return f"{name} <{_text(address)}>" if name and name != address else _text(address)


def _answer(attendee: _Property) -> str:
    words = _ANSWERS.get(attendee.parameters.get("PARTSTAT", "").upper(), _("%(person)s answers"))
    return words % {"person": _person(attendee)}


# --- times


def _when(event: dict[str, list[_Property]]) -> str:
    if "DTSTART" not in event:
        due = _moment(_time(event["DUE"][0]), with_time=True) if "DUE" in event else ""
        return gettext("Due %(time)s") % {"time": due} if "DUE" in event else ""
    stated = event["DTSTART"][0]
    start, end = _time(stated), _time(event["DTEND"][0]) if "DTEND" in event else None
    if start is None:
        return _text(stated.value)
    if end is None and "DURATION" in event:
        end = _later(start, event["DURATION"][0].value)
    zone = "UTC" if isinstance(start, datetime) and start.tzinfo else _text(stated.parameters.get("TZID", ""))
    if not isinstance(start, datetime):
        last = end - timedelta(days=1) if end is not None and end > start else start  # the end is the day after
        return _moment(start) if last == start else _span(_moment(start), _moment(last))
    words = _moment(start, with_time=True)
    if isinstance(end, datetime) and end.tzinfo == start.tzinfo and end > start:
        same_day = end.date() == start.date()
        words = _span(words, time_format(end, "H:i") if same_day else _moment(end, with_time=True))
    return f"{words} ({zone})" if zone else words


def _span(start: str, end: str) -> str:
    return gettext("%(start)s to %(end)s") % {"start": start, "end": end}


def _time(each: _Property) -> date | datetime | None:
    """A date, or a time: aware when it is UTC, else in the zone that its TZID names."""
    found = _TIME.match(each.value.strip())
    if found is None:
        return None
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
        if found[4] is None:
            return day
        zone = UTC if found[7] else None
        return datetime(day.year, day.month, day.day, int(found[4]), int(found[5]), min(int(found[6]), 59), tzinfo=zone)
    except ValueError:
        return None


def _later(start: date | datetime, duration: str) -> date | datetime | None:
    found = _DURATION.fullmatch(duration.strip())
    if found is None:
        return None
    weeks, days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    try:
        return start + timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return None


def _moment(moment: date | datetime | None, *, with_time: bool = False) -> str:
    if moment is None:
        return ""
    # Translators: formats of Django's date filter: "Monday, 2 March 2026", and with the time behind it.
    form = gettext("l, j F Y, H:i") if with_time and isinstance(moment, datetime) else gettext("l, j F Y")
    return date_format(moment, form)


def _repeats(rule: str) -> str:
    """A recurrence rule (section 3.3.10) in words, as far as words are short; its exceptions are in the attachment."""
    parts = dict(part.partition("=")[::2] for part in rule.upper().strip().split(";")[:20])
    every = _EVERY.get(parts.get("FREQ", ""))
    if every is None:
        return gettext("Repeats")
    interval = parts.get("INTERVAL", "1")
    words = every % {"number": max(int(interval), 1) if re.fullmatch(r"[0-9]{1,4}", interval) else 1}
    if re.fullmatch(r"[0-9]{1,6}", parts.get("COUNT", "")):
        times = int(parts["COUNT"])
        return ngettext("%(every)s, %(times)s times", "%(every)s, %(times)s times", times) % {
            "every": words,
            "times": times,
        }
    if until := _time(_Property(parts.get("UNTIL", ""), {})):
        return gettext("%(every)s, until %(day)s") % {"every": words, "day": _moment(until)}
    return words
