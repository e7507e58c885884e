"""What strangers write about our mail stands beside the true reports and never in their place.

Message-IDs can be guessed, so anybody can write a report that names a mail; only its servers and recipients know the
mark of its attempt.
"""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, Message
from outbox.bounces.matching import MOST_ABOUT_OTHERS, MOST_ALIKE
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage, SuppressedAddress
from tests.api.calling import Program, program
from tests.outbox.bounces.test_bounces import about, arrived, sent

__all__ = ["program", "sent"]
pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]
MARK = b"X-PRX-Attempt: 5d1e\r\n"
_numbers = iter(range(1_000_000))


def true_one(account: Account, sent: DeliveryAttempt) -> Message:
    return arrived(account, b"Message-ID: <%d@mx.example.net>\r\n" % next(_numbers) + about(sent))


def forged(account: Account, sent: DeliveryAttempt, address: bytes = b"gone@example.net") -> Message:
    raw = about(sent).replace(MARK, b"").replace(b"Gone@example.net", address)
    raw = raw.replace(b"gone@elsewhere.example", address).replace(b"User unknown", b"Forged words")
    return arrived(account, b"Message-ID: <%d@evil.example>\r\n" % next(_numbers) + raw)


def test_a_flood_of_forged_reports_leaves_room_for_the_true_one(account: Account, sent: DeliveryAttempt) -> None:
    for _ in range(MOST_ALIKE + 2):
        forged(account, sent)
    for number in range(MOST_ABOUT_OTHERS + 2):
        forged(account, sent, b"p%d@example.net" % number)
    assert DeliveryReport.objects.bounces().filter(is_proven=False).count() == MOST_ALIKE + MOST_ABOUT_OTHERS
    true_one(account, sent)
    assert DeliveryReport.objects.bounces().get(is_proven=True).recipient


def test_repeated_warnings_leave_room_for_the_bounce_at_the_end(account: Account, sent: DeliveryAttempt) -> None:
    warning = about(sent).replace(b"Action: failed", b"Action: delayed").replace(b"Status: 5.1.1", b"Status: 4.4.1")
    for _ in range(MOST_ALIKE + 2):
        arrived(account, b"Message-ID: <%d@mx.example.net>\r\n" % next(_numbers) + warning)
    assert DeliveryReport.objects.exclude(recipient=None).count() == MOST_ALIKE
    true_one(account, sent)
    assert DeliveryReport.objects.bounces().count() == 1


def test_a_forged_report_behind_the_true_one_does_not_hide_it_in_the_list(
    operator: Client, account: Account, sent: DeliveryAttempt
) -> None:
    true_one(account, sent)
    forged(account, sent)
    page = operator.get(reverse("outbox:list"), {"mark": "unseen"}).content.decode()
    assert "User unknown" in page and "Forged words" not in page
    assert "Not proven: anybody" not in page
    newest = DeliveryReport.objects.bounces().latest("pk")
    assert f'value="{sent.outbox_id}.{newest.pk}"' in page  # what the button says was seen is all that there is


def test_forged_reports_about_every_recipient_do_not_say_that_nobody_has_the_mail(
    operator: Client, account: Account, sent: DeliveryAttempt
) -> None:
    for address in sent.outbox.recipients.values_list("address", flat=True):
        forged(account, sent, address.encode())
    row = OutboxMessage.objects.get()
    assert row.status == "sent" and all(each.reports.exists() for each in row.recipients.all())
    detail = operator.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert "nobody has it" not in detail
    assert "anybody could have written it" in detail
    cell = operator.get(reverse("outbox:list")).content.decode().split(f'id="row-{row.pk}-state"')[1].split("</div>")[0]
    assert "tone-fine" in cell and "not proven" in cell


def test_a_forged_report_puts_nobody_on_the_suppression_list(account: Account, sent: DeliveryAttempt) -> None:
    sent.outbox.recipients.exclude(address="gone@example.net").delete()
    forged(account, sent)
    assert DeliveryReport.objects.exists() and not SuppressedAddress.objects.exists()
    true_one(account, sent)
    assert SuppressedAddress.objects.get().address == "gone@example.net"


def test_the_page_and_programs_are_told_the_proven_reports_first(
    operator: Client, program: Program, account: Account, sent: DeliveryAttempt
) -> None:
    true_one(account, sent)
    forged(account, sent)
    page = operator.get(reverse("outbox:detail", args=[sent.outbox_id])).content.decode()
    assert page.index("User unknown") < page.index("Forged words")
    reports = program.get(f"/outbox/{sent.outbox_id}").json()["data"]["reports"]
    assert [each["is_proven"] for each in reports] == sorted((each["is_proven"] for each in reports), reverse=True)
    assert {each["is_proven"] for each in reports} == {True, False}
