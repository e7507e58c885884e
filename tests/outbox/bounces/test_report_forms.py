"""Each server's form of a report is tied to the mail and the recipient; what is no report is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.problems.find import find_problems
from mailbox.models import Account, LaterReading
from outbox.bounces import dsn_report
from outbox.bounces import matching as bounces_matching
from outbox.bounces.report import MAX_ADDRESS, MAX_WORDS
from outbox.models import DeliveryAttempt, DeliveryReport
from tests.outbox.bounces.report_forms import DELAYED, EXIM, FAILED, HEADER, complaint, in_parts, part, plain
from tests.outbox.bounces.test_bounces import about, arrived, sent
from tests.servers.site import ROOT

__all__ = ["sent"]
pytestmark = pytest.mark.wire
LATER = timedelta(hours=1)
database = pytest.mark.django_db(transaction=True)


@database
@pytest.mark.parametrize("form", FAILED)
def test_a_bounce_of_this_form_stands_at_the_recipient(account: Account, sent: DeliveryAttempt, form: str) -> None:
    sent.outbox.recipients.exclude(address="gone@example.net").delete()
    message = arrived(account, about(sent, FAILED[form]))
    assert bounces_matching.candidates([message.pk]) == [message.pk]
    report = DeliveryReport.objects.get()
    assert report.recipient and report.recipient.address == report.address == "gone@example.net"
    assert (report.outbox_id, report.action, report.status_code) == (sent.outbox_id, "failed", "5.1.1")
    assert report.is_proven


@database
@pytest.mark.parametrize("form", DELAYED)
def test_a_warning_is_a_delay(account: Account, sent: DeliveryAttempt, form: str) -> None:
    arrived(account, about(sent, DELAYED[form]))
    report = DeliveryReport.objects.get()
    assert (report.action, report.address) == ("delayed", "gone@example.net")
    assert "4.2.1" in report.words


@database
def test_of_several_recipients_those_that_the_text_names_have_failed(account: Account, sent: DeliveryAttempt) -> None:
    sent.outbox.recipients.create(kind="to", address="well@example.net", status="accepted")
    arrived(account, about(sent, FAILED["exchange 2003"]))
    assert [each.address for each in DeliveryReport.objects.all()] == ["gone@example.net"]
    arrived(account, b"X: 1\r\n" + about(sent, FAILED["a mail and hardly a word"]))
    assert DeliveryReport.objects.count() == 1  # which of the two it is about, nobody knows


@database
@pytest.mark.parametrize("recipient", ["Original-Rcpt-To: <gone@example.net>\n", ""])
def test_a_complaint_is_shown_at_the_mail_and_is_no_bounce(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User], recipient: str
) -> None:
    sent.outbox.recipients.exclude(address="gone@example.net").delete()
    message = arrived(account, about(sent, complaint(recipient=recipient)))
    assert bounces_matching.candidates([message.pk]) == [message.pk]
    report = DeliveryReport.objects.get()
    assert report.recipient and (report.action, report.reporter) == ("complaint", "Example-FBL/1.0")
    assert not DeliveryReport.objects.bounces().exists()
    client.force_login(make_user("viewer"))
    page = client.get(reverse("outbox:detail", args=[sent.outbox_id])).content.decode()
    assert "complaint" in page and "do not want this mail" in page


@database
def test_a_complaint_needs_a_person_until_one_has_seen_it(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    sent.outbox.recipients.exclude(address="gone@example.net").delete()
    arrived(account, about(sent, complaint()))
    client.force_login(make_user("operator"))
    told = "1 mail was called unwanted"
    assert told in client.get(reverse("dashboard")).content.decode()
    found = [each for each in find_problems(timezone.now()).found if each.account_id]
    assert [(each.kind, each.count) for each in found if each.kind in ("bounce", "complaint")] == [("complaint", 1)]
    unseen = client.get(reverse("outbox:list"), {"mark": "unseen"}).content.decode()
    assert sent.outbox.subject in unseen
    last = {"last_report": DeliveryReport.objects.get().pk}
    client.post(reverse("outbox:acknowledge_bounce", args=[sent.outbox_id]), last)
    assert DeliveryReport.objects.get().acknowledged_by
    assert told not in client.get(reverse("dashboard")).content.decode()


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "", "x" * 1000])
def test_a_feedback_that_complains_of_nothing_is_no_complaint(kind: str) -> None:
    assert dsn_report.read(complaint(kind)) is None


@pytest.mark.parametrize(
    "raw",
    [
        plain("ann@example.net", "I could not be reached, it failed: gone@example.net\n\n") + HEADER.encode(),
        plain(EXIM, "Your message was delivered to gone@example.net\n\n") + HEADER.encode(),
        plain(EXIM, "It failed: gone@example.net\n"),  # nothing of the mail
        in_parts("postmaster@x.example", part("text/plain", "I am on holiday."), part("message/rfc822", HEADER)),
    ],
)
def test_what_does_not_say_all_of_it_is_no_report(raw: bytes) -> None:
    assert dsn_report.read(raw) is None


def test_a_parsers_process_reads_reports_without_django() -> None:
    program = "import sys, outbox.bounces.dsn_report; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={}).returncode == 0


@database
def test_what_was_read_is_forgotten_when_the_sweep_has_passed_it(account: Account, sent: DeliveryAttempt) -> None:
    arrived(account, about(sent, FAILED["exim"]))
    assert LaterReading.objects.get().finished_at
    bounces_matching.catch_up(timezone.now() + LATER)
    assert not LaterReading.objects.exists()


SEEDS = [*FAILED.values(), *DELAYED.values(), complaint()]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_mutated_report_is_read_or_none(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(SEEDS))
    for _ in range(data.draw(st.integers(1, 5))):
        start, length = data.draw(st.integers(0, len(raw))), data.draw(st.integers(0, 60))
        raw = raw[:start] + data.draw(st.binary(max_size=8) | st.sampled_from(SEEDS)) + raw[start + length :]
    report = dsn_report.read(raw)
    for each in report.recipients if report else ():
        "".join((each.address, each.words, each.status_code)).encode()
        assert "\0" not in each.address + each.words
        assert len(each.address) <= MAX_ADDRESS and len(each.words) <= MAX_WORDS
