"""Invitations are read whatever bytes they are, and at a bounded cost."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime.files import icalendar
from mailbox.mime.files.icalendar import CalendarEvent, Recurrence


def calendar(*lines: str, method: str = "REQUEST") -> bytes:
    head = ["BEGIN:VCALENDAR", f"METHOD:{method}", "BEGIN:VTIMEZONE", "TZID:Europe/Berlin", "BEGIN:STANDARD"]
    head += ["DTSTART:19701025T030000", "RRULE:FREQ=YEARLY", "END:STANDARD", "END:VTIMEZONE", "BEGIN:VEVENT"]
    return "\r\n".join([*head, *lines, "END:VEVENT", "END:VCALENDAR", ""]).encode()


def only(*lines: str, method: str = "REQUEST") -> CalendarEvent:
    (event,) = icalendar.read(calendar(*lines, method=method))
    return event


def test_times_and_series_are_read_as_they_are_stated() -> None:
    event = only(
        'DTSTART;TZID="W. Europe Standard Time":20260302T140000',
        "DURATION:PT1H30M",
        "RRULE:FREQ=DAILY;INTERVAL=2;COUNT=10",
    )
    assert (event.start, event.end) == (datetime(2026, 3, 2, 14), datetime(2026, 3, 2, 15, 30))
    assert (event.zone, event.recurrence) == ("W. Europe Standard Time", Recurrence("DAILY", 2, 10))


def test_a_parameter_may_have_the_escapes_of_rfc_6868() -> None:
    event = only("""ORGANIZER;CN="Ann ^'Bee^' ^^ Cee^nOps":mailto:ann@example.com""", "DTSTART:20260302T140000Z")
    assert event.organizer == 'Ann "Bee" ^ Cee Ops <ann@example.com>'


@pytest.mark.parametrize("end", ["20260302T150000", "20260301", "20260302", "nonsense", "20260303T130000Z"])
def test_an_end_that_is_not_after_the_start_or_of_another_kind_is_none(end: str) -> None:
    assert only("DTSTART;VALUE=DATE:20260302", f"DTEND:{end}").end is None


@pytest.mark.parametrize("octets", [b"", b"BEGIN:VEVENT", b"END:VEVENT", b"\xff\xfe", b"BEGIN\r\nX"])
def test_what_is_no_calendar_tells_nothing(octets: bytes) -> None:
    assert icalendar.read(octets) == []


WRITTEN = """BEGIN:VEVENT| END:VEVENT| DTSTART| ;TZID=| :| 2026| 0302T130000| Z| " \\ DTEND:| RRULE:FREQ=DAILY;
DURATION:P SUMMARY:| ATTENDEE;CN=| 999999999999999999999"""
PIECES = st.sampled_from([*WRITTEN.replace("|", "").split(), "\n", " ", "\x00"])


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_text_can_be_read(text: str) -> None:
    for event in icalendar.read(text.encode()):
        assert "\x00" not in repr(event)


@pytest.mark.parametrize(
    "lines",
    [
        ["X" * 60 + ";A=" + "a," * 300_000],
        ["ATTENDEE;CN=" + '";' * 300_000],
        ["ATTENDEE:mailto:a@example.com"] * 30_000,
        ["BEGIN:VEVENT"] * 70_000,
        ["SUMMARY:" + "\\n" * 400_000],
        [""] * 900_000,
        ["SUMMARY:x\r\n " * 90_000],
    ],
)
def test_one_built_to_cost_time_is_read_at_once(lines: list[str]) -> None:
    octets = calendar(*lines)
    started = time.process_time()
    assert len(icalendar.read(octets)) <= icalendar.MAX_EVENTS
    assert time.process_time() - started < 2


VCALENDAR = "\r\n".join(
    (
        "BEGIN:VCALENDAR",
        "VERSION:1.0",
        "BEGIN:VEVENT",
        "SUMMARY;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Gr=C3=BC=C3=9Fe aus=",
        "=20K=C3=B6ln",
        "LOCATION;QUOTED-PRINTABLE;CHARSET=ISO-8859-1:Caf=E9",
        "DTSTART:20250304T100000Z",
        "DTEND:20250304T110000Z",
        "END:VEVENT",
        "END:VCALENDAR",
    )
)


def test_vcalendar_is_read_with_its_quoted_printable_texts() -> None:
    (event,) = icalendar.read(VCALENDAR.encode())
    assert (event.title, event.place) == ("Grüße aus Köln", "Café")
    assert (event.start, event.end) == (datetime(2025, 3, 4, 10, tzinfo=UTC), datetime(2025, 3, 4, 11, tzinfo=UTC))


@pytest.mark.parametrize(
    "last", ["SUMMARY;QUOTED-PRINTABLE:a=", "X;A;B;C:=ZZ=", "SUMMARY;ENCODING=QUOTED-PRINTABLE:=00"]
)
def test_a_quoted_printable_value_that_is_cut_or_odd_raises_nothing(last: str) -> None:
    assert len(icalendar.read(f"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\n{last}".encode())) == 1


def test_half_a_million_folds_of_one_quoted_printable_value_take_linear_time() -> None:
    value = "SUMMARY;QUOTED-PRINTABLE:" + "a=\r\n" * 200_000
    (event,) = icalendar.read(f"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{value}b\r\nEND:VEVENT\r\n".encode())
    assert event.title.startswith("aaaa") and len(event.title) == 500
