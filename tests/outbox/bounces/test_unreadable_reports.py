"""No message stops the reading of reports: a bounded process does it, it is noted before, and what fails is shown."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry, LaterReading, Message
from mailbox.models.readings import MAX_ATTEMPTS, STALE_AFTER, STOPPED_ITS_READER
from mailbox.parsing import process as parsing_process
from mailbox.parsing.parser import GAVE_UP
from mailbox.storage import raw_store
from mailbox.tasks import sync as sync_tasks
from outbox.bounces import dsn_report
from outbox.bounces import matching as bounces_matching
from outbox.models import DeliveryAttempt, DeliveryReport
from tests.outbox.bounces.report_forms import FAILED
from tests.outbox.bounces.test_bounces import about, sent, sent_from
from tests.rows import letter, store
from tests.servers.dovecot import Dovecot
from tests.servers.forked import Forked
from tests.servers.ports import wait_until
from tests.servers.site import Cluster

__all__ = ["sent"]
pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]
QMAIL_HEAD = (
    b"From: MAILER-DAEMON@mx.example.net\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program.\r\n"
)
HOSTILE = {
    "quadratic for qmail's paragraphs": QMAIL_HEAD + b"<" + b"@" * 400_000,
    "500 open brackets": b"From: " + b"(" * 500 + b"\r\nTo: " + b"<" * 500 + b"\r\n\r\nHello\r\n",
    "100,000 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n\r\n" * 100_000,
}


def read_at(now_after: timedelta) -> int:
    return bounces_matching.catch_up(timezone.now() + now_after)


def test_a_message_whose_reader_gives_up_is_passed_over_and_the_next_is_read(
    account: Account, sent: DeliveryAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = store(account, about(sent, FAILED["qmail"]))
    monkeypatch.setattr(dsn_report, "READER", "tests.mailbox.parsing.endless_reader:read")
    monkeypatch.setattr(parsing_process, "CPU_SECONDS", 0.05)
    assert read_at(timedelta()) == 0
    monkeypatch.undo()
    note = LaterReading.objects.get()
    assert (note.message_id, note.error) == (bad.pk, GAVE_UP)
    store(account, about(sent, FAILED["exim"]))
    assert read_at(timedelta(hours=1)) == 1
    assert LaterReading.objects.get() == note  # kept, so that it is shown


def test_a_message_at_which_workers_die_is_tried_so_often_and_no_more(account: Account, sent: DeliveryAttempt) -> None:
    """Not by a parser's end: by something that takes the worker too."""
    bad = store(account, about(sent, FAILED["qmail"]))
    dies = """
import os, signal, sys
from mailbox.parsing import pool
from outbox.bounces import matching
pool.read_one = lambda order: os.kill(os.getpid(), signal.SIGKILL)
matching.read_message(int(sys.argv[1]))
"""
    for number in range(MAX_ATTEMPTS):
        assert Forked(dies, bad.pk).wait() == -signal.SIGKILL
        assert LaterReading.objects.get().attempts == number + 1
        assert bounces_matching.read_message(bad.pk) == 0  # another may be at it
        LaterReading.objects.update(begun_at=timezone.now() - STALE_AFTER)
    assert read_at(timedelta()) == 0
    assert LaterReading.objects.get().error == STOPPED_ITS_READER
    assert not DeliveryReport.objects.exists()


def test_what_a_worker_that_died_had_begun_is_read_behind_the_cursor(account: Account, sent: DeliveryAttempt) -> None:
    report = store(account, about(sent, FAILED["qmail"]))
    LaterReading.objects.begin(report, LaterReading.Purpose.REPORT, timezone.now())
    assert read_at(timedelta(minutes=6)) == 0  # the cursor has passed it
    assert read_at(STALE_AFTER + timedelta(minutes=1)) == 1


def test_an_error_of_ours_in_tying_a_report_holds_up_no_other(
    account: Account, sent: DeliveryAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, _ = (store(account, about(sent, FAILED[form])) for form in ("qmail", "exim"))
    tie = bounces_matching._store

    def broken(report: object, row: object, message: Message, **more: bool) -> int:
        if message.pk == bad.pk:
            raise RuntimeError("a bug")
        return tie(report, row, message, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(bounces_matching, "_store", broken)
    assert read_at(timedelta(hours=1)) == 1
    assert LaterReading.objects.failed().get().error == "RuntimeError: a bug"


@pytest.mark.parametrize(
    "error", [raw_store.RawOutOfReach("0001.seg", OSError("on another host")), raw_store.RawMissing("gone")]
)
def test_a_report_waits_for_a_file_out_of_reach_and_not_for_one_that_is_gone(
    account: Account, sent: DeliveryAttempt, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store(account, about(sent, FAILED["qmail"]))

    def missing(digest: str) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(raw_store, "map_raw", missing)
        for tries in range(MAX_ATTEMPTS + 2):
            assert read_at((tries + 1) * STALE_AFTER * 2) == 0
    waits = isinstance(error, raw_store.RawOutOfReach)
    assert LaterReading.objects.get().error == ("" if waits else "gone")
    assert read_at(20 * STALE_AFTER) == waits


def test_the_quarantine_shows_it_and_an_operator_has_it_read_again(
    client: Client, account: Account, sent: DeliveryAttempt, make_user: Callable[..., User]
) -> None:
    report = store(account, about(sent, FAILED["qmail"]))
    note = LaterReading.objects.create(message=report, account=account, purpose="report", error=GAVE_UP)
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:quarantine")).content.decode()
    assert GAVE_UP in page and reverse("mailbox:message", args=[report.pk]) in page and "Read again" not in page
    assert client.post(reverse("mailbox:read_again", args=[note.pk])).status_code in (403, 404)

    client.force_login(make_user("operator"))
    assert "Read again" in client.get(reverse("mailbox:quarantine")).content.decode()
    client.post(reverse("mailbox:read_again", args=[note.pk]))
    assert "Read again" not in client.get(reverse("mailbox:quarantine")).content.decode()
    assert AuditEntry.objects.get().verb == "read_again"
    assert read_at(timedelta()) == 1


@pytest.mark.parametrize("name", list(HOSTILE)[:2])
def test_hostile_mail_is_no_report(account: Account, name: str) -> None:
    message = store(account, HOSTILE[name])
    assert bounces_matching.read_message(message.pk) == 0
    assert LaterReading.objects.get().error == ""


def test_a_real_cluster_that_receives_hostile_mail_goes_on_working(
    make_account: Callable[..., Account], dovecot: Dovecot, start_workers: Callable[..., Cluster]
) -> None:
    account = make_account()
    sent = sent_from(account)
    for number, raw in enumerate([*HOSTILE.values(), about(sent, FAILED["qmail"]), letter("After them")]):
        dovecot.append(account.email, "INBOX", b"Message-ID: <%d@hostile.example>\r\n" % number + raw)
    workers = start_workers()
    sync_tasks.queue_sync(account.pk, None)

    def is_all_done() -> bool:
        return Message.objects.count() == len(HOSTILE) + 2 and DeliveryReport.objects.count() == 1

    wait_until(is_all_done, seconds=120, what="the mail and the report")
    assert workers.process.poll() is None
    assert not LaterReading.objects.failed().exists()
