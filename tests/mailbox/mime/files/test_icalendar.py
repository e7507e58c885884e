"""An invitation is told in words: what, when, where, by whom."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime.files import icalendar
from mailbox.mime.files.icalendar import Event


def calendar(*lines: str, method: str = "REQUEST") -> bytes:
    head = ["BEGIN:VCALENDAR", f"METHOD:{method}", "BEGIN:VTIMEZONE", "TZID:Europe/Berlin", "BEGIN:STANDARD"]
    head += ["DTSTART:19701025T030000", "RRULE:FREQ=YEARLY", "END:STANDARD", "END:VTIMEZONE", "BEGIN:VEVENT"]
    return "\r\n".join([*head, *lines, "END:VEVENT", "END:VCALENDAR", ""]).encode()


def only(*lines: str, method: str = "REQUEST") -> Event:
    (event,) = icalendar.read(calendar(*lines, method=method))
    return event


def test_an_invitation_is_told() -> None:
    event = only(
        "SUMMARY;LANGUAGE=de:Planung\\, Größe\\; und",
        "  mehr\\nzweite Zeile",
        "DTSTART;TZID=Europe/Berlin:20260302T140000",
        "DTEND;TZID=Europe/Berlin:20260302T153000",
        "LOCATION:Raum \\\\ 3",
        'ORGANIZER;CN="Ann: the boss; really":mailto:ann@example.com',
        "ATTENDEE:mailto:bob@example.com",
        "ATTENDEE:mailto:carol@example.com",
        "BEGIN:VALARM",
        "SUMMARY:not this one",
        "END:VALARM",
    )
    assert event == Event(
        kind="Invitation",
        title="Planung, Größe; und mehr zweite Zeile",
        when="Monday, 2 March 2026, 14:00 to 15:30 (Europe/Berlin)",
        repeats="",
        place="Raum \\ 3",
        organizer="Ann: the boss; really <ann@example.com>",
        answer="",
        attendees=2,
    )


@pytest.mark.parametrize(
    ("lines", "when"),
    [
        (["DTSTART:20260302T130000Z", "DTEND:20260302T140000Z"], "Monday, 2 March 2026, 13:00 to 14:00 (UTC)"),
        (["DTSTART;VALUE=DATE:20260302", "DTEND;VALUE=DATE:20260303"], "Monday, 2 March 2026"),
        (["DTSTART;VALUE=DATE:20260302"], "Monday, 2 March 2026"),
        (
            ["DTSTART;VALUE=DATE:20260302", "DTEND;VALUE=DATE:20260305"],
            "Monday, 2 March 2026 to Wednesday, 4 March 2026",
        ),
        (["DTSTART:20260302T130000", "DURATION:PT1H30M"], "Monday, 2 March 2026, 13:00 to 14:30"),
        (
            ['DTSTART;TZID="W. Europe Standard Time":20260302T233000', "DURATION:PT2H"],
            "Monday, 2 March 2026, 23:30 to Tuesday, 3 March 2026, 01:30 (W. Europe Standard Time)",
        ),
        (["DTSTART:20260302T130000Z", "DTEND:20260302T140000"], "Monday, 2 March 2026, 13:00 (UTC)"),
        (["DTSTART:20261302T130000Z"], "20261302T130000Z"),
        (["DUE:20260302T130000Z"], "Due Monday, 2 March 2026, 13:00"),
        ([], ""),
    ],
)
def test_when_it_is_stands_in_the_zone_it_states(lines: list[str], when: str) -> None:
    assert only(*lines).when == when


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=WEEKLY;BYDAY=MO", "Every week"),
        ("FREQ=DAILY;INTERVAL=2;COUNT=10", "Every 2 days, 10 times"),
        ("FREQ=MONTHLY;UNTIL=20261231T000000Z", "Every month, until Thursday, 31 December 2026"),
        ("FREQ=NEVER", "Repeats"),
        ("nonsense", "Repeats"),
    ],
)
def test_a_series_is_told_in_short(rule: str, words: str) -> None:
    assert only(f"RRULE:{rule}").repeats == words


def test_an_answer_and_a_cancellation_say_so() -> None:
    answer = only("ATTENDEE;PARTSTAT=DECLINED;CN=Bob:MAILTO:bob@example.com", method="REPLY")
    assert (answer.kind, answer.answer) == ("Answer to an invitation", "Bob <bob@example.com> declines")
    assert only("SUMMARY:x", method="CANCEL").kind == "Cancelled"
    assert only("STATUS:CANCELLED", method="PUBLISH").kind == "Cancelled"
    assert only("SUMMARY:x", method="PUBLISH").kind == "Event"


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
