"""An invitation is told in words: what, when, where, by whom."""

from __future__ import annotations

import pytest

from mailbox.views.reading.invitation_words import InvitationWords, words_of
from tests.mailbox.mime.files import test_icalendar


def only(*lines: str, method: str = "REQUEST") -> InvitationWords:
    return words_of(test_icalendar.only(*lines, method=method))


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
    assert event == InvitationWords(
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
