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
from tests.outbox.bounces.report_forms import complaint
from tests.outbox.bounces.test_bounces import about, arrived, sent, sent_from

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


def complained(account: Account, sent: DeliveryAttempt, raw: bytes) -> Message:
    raw = raw.replace(b"<outbox-7-0@example.com>", sent.message_id.encode())
    return arrived(account, b"Message-ID: <%d@fbl.example>\r\n" % next(_numbers) + raw)


def to_one(sent: DeliveryAttempt) -> None:
    sent.outbox.recipients.exclude(address="gone@example.net").delete()


def test_a_forged_complaint_puts_nobody_on_the_list_and_the_true_one_the_recipient(
    account: Account, sent: DeliveryAttempt
) -> None:
    to_one(sent)
    true = complaint()
    envelope = true.replace(b"Version: 1\r\n", b"Version: 1\r\nOriginal-Envelope-Id: 5d1f\r\n").replace(MARK, b"")
    for raw in (true.replace(MARK, b""), true.replace(MARK, b"X-PRX-Attempt: 5d1f\r\n"), envelope):
        assert raw != true
        complained(account, sent, raw)
    assert set(DeliveryReport.objects.values_list("action", "is_proven")) == {("complaint", False)}
    assert not SuppressedAddress.objects.exists()
    complained(account, sent, true)
    listed = SuppressedAddress.objects.get()
    assert (listed.address, listed.reason, listed.account) == ("gone@example.net", "complaint", account)


def test_one_recipient_cannot_complain_in_the_name_of_another(account: Account, sent: DeliveryAttempt) -> None:
    """The mark is in the mail of each recipient: who got it can write a report about all of them."""
    assert sent.outbox.recipients.count() > 1
    complained(account, sent, complaint())
    assert DeliveryReport.objects.complaints().get().is_proven
    assert not SuppressedAddress.objects.exists()


def test_a_mark_speaks_for_its_own_mail_whatever_message_id_stands_beside_it(
    account: Account, sent: DeliveryAttempt
) -> None:
    to_one(sent)
    other = sent_from(account, prx_attempt="77aa")
    complained(account, other, complaint())  # the mark of the first mail, the Message-ID of the second
    report = DeliveryReport.objects.get()
    assert (report.outbox_id, report.is_proven) == (sent.outbox_id, True)
    assert not other.outbox.reports.exists()


@pytest.mark.parametrize("disposition", ["displayed", "deleted", "processed/error", "failed", "denied"])
def test_a_receipt_changes_nothing_though_it_bears_the_mark(
    account: Account, sent: DeliveryAttempt, disposition: str
) -> None:
    """RFC 8098: what a reader's program did, or says it did. No mail becomes seen, bounced or undelivered by it."""
    to_one(sent)
    fields = b"Final-Recipient: rfc822; gone@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\nDisposition: "
    fields += b"automatic-action/MDN-sent-automatically; " + disposition.encode() + b"\r\n"
    start, rest = about(sent).split(b"message/delivery-status\r\n\r\n")
    raw = start + b"message/disposition-notification\r\n\r\n" + fields + rest[rest.index(b"\r\n--r") :]
    arrived(account, raw.replace(b"report-type=delivery-status", b"report-type=disposition-notification"))
    assert not DeliveryReport.objects.exists() and not SuppressedAddress.objects.exists()
    assert OutboxMessage.objects.get().status == "sent"


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_a_forged_delivery_neither_settles_an_uncertain_mail_nor_takes_a_bounce_away(
    operator: Client, account: Account, sent: DeliveryAttempt, action: str
) -> None:
    to_one(sent)
    true_one(account, sent)
    said = about(sent).replace(MARK, b"").replace(b"Action: failed", f"Action: {action}".encode())
    arrived(account, b"Message-ID: <%d@evil.example>\r\n" % next(_numbers) + said.replace(b"5.1.1", b"2.0.0"))
    assert DeliveryReport.objects.get(action=action).is_proven is False
    assert DeliveryReport.objects.unacknowledged().count() == 1
    OutboxMessage.objects.update(status="failed", hold="uncertain")
    arrived(account, b"Message-ID: <%d@evil.example>\r\n" % next(_numbers) + said.replace(b"5.1.1", b"2.0.0"))
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold) == ("failed", "uncertain")
    detail = operator.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert "anybody could have written it" in detail
