"""When two mails that claim one Message-ID are one mail."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mailbox.messages.same_message import Identity, same_mail

MAIL = Identity(
    "ann@example.com", "Plan", datetime(2024, 1, 1, tzinfo=UTC), "The plan.", "", (), True, False, "header", 100
)
LIST = replace(MAIL, from_list=True)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"sender": "eve@example.com"}, False),
        ({"subject": "Plan B"}, False),
        ({"date": None}, False),
        ({"body_text": "Send money."}, False),
        ({"body_html": "<p>Send money.</p>"}, False),
        ({"attachments": ("digest",)}, False),
        ({"body_text": "", "is_complete": False}, True),
        ({"body_text": "", "is_complete": False, "size": 101}, False),
        ({"body_text": "", "is_complete": False, "header_digest": "another"}, False),
        ({"subject": "Other", "is_complete": False}, False),
    ],
)
def test_from_subject_date_and_body_make_the_mail(change: dict[str, Any], same: bool) -> None:
    assert same_mail(MAIL, replace(MAIL, **change)) is same
    assert same_mail(replace(MAIL, **change), MAIL) is same


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"subject": "[club] Plan", "body_text": "The plan. -- club list"}, True),
        ({"subject": "[club] Other"}, False),
        ({"body_text": "Send money. The plan."}, False),
        ({"sender": "eve@example.com"}, False),
    ],
)
def test_a_list_may_add_its_tag_and_footer_and_nothing_else(change: dict[str, Any], same: bool) -> None:
    assert same_mail(MAIL, replace(LIST, **change)) is same
    assert same_mail(replace(LIST, **change), MAIL) is same


def test_two_copies_of_a_list_are_compared_strictly() -> None:
    assert not same_mail(LIST, replace(LIST, body_text="The plan. And money."))


def test_what_lies_at_the_same_place_completes_the_header_that_came_before() -> None:
    """The header that is longer than is asked for has another digest than the whole one."""
    header = replace(MAIL, body_text="", is_complete=False, header_digest="cut")
    assert same_mail(MAIL, header, is_same_place=True)
    assert not same_mail(MAIL, replace(header, subject="Other"), is_same_place=True)
