"""Reads invitations: title, times, place and people of an iCalendar part (RFC 5545) or vCalendar 1.0. Pure.

Raises nothing for any bytes. Times are not converted but keep the time zone that the invitation states, so that no time
zone database is needed and Windows' zone names do no harm. mailbox.views.reading.invitation_words writes the sentences.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from mailbox.mime import charsets

TYPES = ("text/calendar", "application/ics", "text/x-vcalendar")
MAX_EVENTS = 20
MAX_BYTES = 1_000_000
_MAX_TEXT = 500  # characters of a title, a place, a name
_MAX_ATTENDEES = 1000

_LINE_END = re.compile(r"\r\n|\r|\n")
_FOLD = re.compile(r"(?:\r\n|\r|\n)[ \t]")
_LINE = re.compile(  # vCalendar has parameters without a value
    r"([A-Za-z0-9-]{1,60})((?:;[A-Za-z0-9-]{1,60}(?:=(?:\"[^\"]*+\"|[^\";:,]*+)(?:,(?:\"[^\"]*+\"|[^\";:,]*+)|(?!))*+|(?!))?+|(?!))*+):"
)
_PARAMETER = re.compile(r";([A-Za-z0-9-]+)=(\"[^\"]*+\"|[^\";:]*+)")
_ESCAPE = re.compile(r"\\([nN,;\\])")
_CARET = re.compile(r"\^([n'^])")
_OF_CARET = {"n": "\n", "'": '"', "^": "^"}
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?")
_DURATION = re.compile(r"\+?P(?:(\d{1,5})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,5})S)?)?")


@dataclass(frozen=True)
class Recurrence:
    """The parts of a recurrence rule (RFC 5545, 3.3.10) that are displayed. frequency: as stated, upper case."""

    frequency: str
    interval: int = 1  # 2 with WEEKLY: each second week
    count: int | None = None
    until: date | datetime | None = None


@dataclass(frozen=True)
class AttendeeReply:
    """An attendee's answer: `status` is PARTSTAT, upper case; `person` as `Ann <ann@example.com>`."""

    status: str
    person: str


@dataclass(frozen=True)
class CalendarEvent:
    """One VEVENT or VTODO. Texts are "" and times None where it states none.

    method: of the calendar (RFC 5546), upper case. start, end: a date for a whole day (the end is the day after the
    last); an aware time for UTC; else a naive time in `zone`. start_text: the stated start if it is not a valid time.
    """

    method: str
    is_cancelled: bool = False
    title: str = ""
    start: date | datetime | None = None
    start_text: str = ""
    end: date | datetime | None = None
    has_due: bool = False
    due: date | datetime | None = None
    zone: str = ""
    recurrence: Recurrence | None = None
    place: str = ""
    organizer: str = ""
    reply: AttendeeReply | None = None
    attendees: int = 0  # how many


@dataclass(frozen=True)
class _Property:
    value: str
    parameters: dict[str, str]


def read(octets: bytes) -> list[CalendarEvent]:
    """Read the events of a calendar part, at most MAX_EVENTS, in their order."""
    text = charsets.storable(charsets.decode_text(charsets.cut(octets, MAX_BYTES))[0])
    method = ""
    path: list[str] = []
    event: dict[str, list[_Property]] = {}
    found: list[CalendarEvent] = []
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
        elif path and path[-1] in ("VEVENT", "VTODO"):  # not the properties of an alarm inside
            kept = event.setdefault(name, [])
            if len(kept) < _MAX_ATTENDEES:
                kept.append(each)
    return found


def _properties(text: str) -> Iterator[tuple[str, _Property]]:
    lines = iter(_LINE_END.split(_FOLD.sub("", text)))
    for line in lines:
        head = _LINE.match(line)
        if head:
            given = _PARAMETER.findall(head[2])
            parameters = {name.upper(): _parameter(value.strip('"')) for name, value in given}
            value = line[head.end() :]
            if "QUOTED-PRINTABLE" in head[2].upper():
                value = _unquoted(value, lines, parameters.get("CHARSET", ""))
            yield head[1].upper(), _Property(value, parameters)


def _parameter(value: str) -> str:
    """A parameter's value without the escapes of RFC 6868, which stand for a line break, a quotation mark and "^"."""
    return _CARET.sub(lambda found: _OF_CARET[found[1]], value) if "^" in value else value


def _unquoted(value: str, lines: Iterator[str], charset: str) -> str:
    """A quoted-printable value of vCalendar, which goes on in the next of `lines` when it ends in "="."""
    pieces = [value]
    while pieces[-1].endswith("=") and (more := next(lines, None)) is not None:
        pieces.append(more)
    octets = binascii.a2b_qp("\n".join(pieces).encode(errors="replace"))
    return charsets.storable(charsets.decode_text(octets, charset)[0])


def _event(event: dict[str, list[_Property]], method: str) -> CalendarEvent:
    def first(name: str) -> str:
        return _text(event[name][0].value) if name in event else ""

    start, start_text, zone = _start(event)
    attendees = event.get("ATTENDEE", [])
    return CalendarEvent(
        method=method,
        is_cancelled=method == "CANCEL" or first("STATUS").upper() == "CANCELLED",
        title=first("SUMMARY"),
        start=start,
        start_text=start_text,
        end=_end(event, start),
        has_due="DUE" in event,
        due=_time(event["DUE"][0].value) if "DUE" in event else None,
        zone=zone,
        recurrence=_recurrence(event["RRULE"][0].value) if "RRULE" in event else None,
        place=first("LOCATION"),
        organizer=_person(event["ORGANIZER"][0]) if "ORGANIZER" in event else "",
        reply=_reply(attendees[0]) if method == "REPLY" and attendees else None,
        attendees=len(attendees),
    )


def _text(value: str) -> str:
    """A TEXT value (section 3.3.11) without escapes, on one line."""
    plain = _ESCAPE.sub(lambda found: " " if found[1] in "nN" else found[1], value[: _MAX_TEXT * 4])
    return " ".join(charsets.unfold(plain).split())[:_MAX_TEXT]


def _person(each: _Property) -> str:
    """`Ann <ann@example.com>`."""
    address = re.sub(r"^mailto:", "", each.value.strip(), flags=re.IGNORECASE)
    name = _text(each.parameters.get("CN", ""))
    return f"{name} <{_text(address)}>" if name and name != address else _text(address)


def _reply(attendee: _Property) -> AttendeeReply:
    return AttendeeReply(attendee.parameters.get("PARTSTAT", "").upper(), _person(attendee))


def _recurrence(rule: str) -> Recurrence:
    parts = dict(part.partition("=")[::2] for part in rule.upper().strip().split(";")[:20])
    interval, count = parts.get("INTERVAL", "1"), parts.get("COUNT", "")
    return Recurrence(
        parts.get("FREQ", ""),
        max(int(interval), 1) if re.fullmatch(r"[0-9]{1,4}", interval) else 1,
        int(count) if re.fullmatch(r"[0-9]{1,6}", count) else None,
        _time(parts.get("UNTIL", "")),
    )


# --- times


def _start(event: dict[str, list[_Property]]) -> tuple[date | datetime | None, str, str]:
    """The start, its text if it is not a valid time, and its time zone."""
    if "DTSTART" not in event:
        return None, "", ""
    stated = event["DTSTART"][0]
    start = _time(stated.value)
    if start is None:
        return None, _text(stated.value), ""
    zone = "UTC" if isinstance(start, datetime) and start.tzinfo else _text(stated.parameters.get("TZID", ""))
    return start, "", zone


def _end(event: dict[str, list[_Property]], start: date | datetime | None) -> date | datetime | None:
    """The end by DTEND or DURATION. None if it is not after the start, or not of its kind (date, UTC or local)."""
    end = _time(event["DTEND"][0].value) if "DTEND" in event else None
    if end is None and start is not None and "DURATION" in event:
        end = _later(start, event["DURATION"][0].value)
    if start is None or end is None or type(start) is not type(end):
        return None
    if isinstance(start, datetime) and isinstance(end, datetime) and start.tzinfo != end.tzinfo:
        return None
    return end if end > start else None


def _time(value: str) -> date | datetime | None:
    """A date or a datetime: aware if it is UTC, else naive, in the zone that TZID names. None if invalid."""
    found = _TIME.match(value.strip())
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
