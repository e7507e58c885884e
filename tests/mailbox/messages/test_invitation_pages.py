"""The page of a message tells the invitation in it, and offers it as a file."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, RawMessage
from tests.mailbox.mime.files.test_icalendar import calendar
from tests.mailbox.mime.mime_messages import multipart
from tests.rows import store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
INVITATION = calendar(
    "SUMMARY:Planning <script>",
    "DTSTART;TZID=Europe/Berlin:20260302T140000",
    "DURATION:PT1H",
    "LOCATION:Room 3",
    "ORGANIZER;CN=Ann:mailto:ann@example.com",
)
TEXT = b"Content-Type: text/plain\r\n\r\nPlease come."


def test_an_invitation_is_told_above_the_text_and_attached(viewer: Client, account: Account) -> None:
    part = b"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\n" + INVITATION
    message = store(account, multipart(TEXT, part, subtype="alternative"))
    shown = viewer.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    for words in ("Planning &lt;script&gt;", "Monday, 2 March 2026, 14:00 to 15:00 (Europe/Berlin)", "Room 3"):
        assert words in shown
    assert "Ann &lt;ann@example.com&gt;" in shown
    saved = viewer.get(reverse("mailbox:message_attachment", args=[message.pk, 0]))
    assert saved.content.rstrip() == INVITATION.rstrip()
    assert 'filename="invite.ics"' in saved["Content-Disposition"]


def test_what_is_lost_or_removed_is_not_told(viewer: Client, account: Account) -> None:
    message = store(account, multipart(TEXT, b"Content-Type: text/calendar\r\n\r\n" + INVITATION))
    page = reverse("mailbox:message", args=[message.pk])
    digest = message.raw_digest
    RawMessage.objects.filter(digest=digest).delete()
    assert "Room 3" not in viewer.get(page).content.decode()
    message.attachment_rows.update(removed_at=message.received_at)
    assert viewer.get(page).status_code == 200


@pytest.mark.parametrize("content", [b"", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR", b"\xff\x00" * 500])
def test_a_calendar_that_says_nothing_leaves_the_page_as_it_is(
    viewer: Client, account: Account, content: bytes
) -> None:
    message = store(account, multipart(TEXT, b"Content-Type: text/calendar\r\n\r\n" + content))
    shown = viewer.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    assert "Organiser" not in shown
    assert "invite.ics" in shown


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: application/octet-stream; name=Invite.ICS",
        b"Content-Type: text/calendar\r\n\r\n\r\n--cut\r\nContent-Type: application/ics; name=invite.ics",
    ],
)
def test_an_invitation_is_found_by_its_name_and_behind_an_empty_one(
    viewer: Client, account: Account, fields: bytes
) -> None:
    message = store(account, multipart(TEXT, fields + b"\r\n\r\n" + INVITATION))
    assert "Room 3" in viewer.get(reverse("mailbox:message", args=[message.pk])).content.decode()
