"""What a page says when nobody works, when a poll fails, and when the database is locked for long."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mailbox.db.errors import is_trouble
from mailbox.errors import StorageError
from mailbox.models import Account, Folder, SyncState, Transport, WorkerHeartbeat
from outbox.models import DeliveryReport, SendingSwitch, SentLookup
from tests.rows import NOWHERE, attempt, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
GONE = 'id="no-worker"'
SESSION_LOAD = "django.contrib.sessions.backends.db.SessionStore.load"


def locked() -> OperationalError:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error = OperationalError("database is locked")
    error.__cause__ = cause
    return error


def beat(seconds_ago: int) -> None:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    WorkerHeartbeat.objects.create(host="h", cluster_pid=1, started_at=at, seen_at=at)


def test_the_dashboard_says_once_that_nobody_works(operator: Client, make_account: Callable[..., Account]) -> None:
    assert operator.get("/").content.decode().count("No worker is running") == 1  # no account yet: the banner
    make_account("ops@example.com", **NOWHERE)
    page = operator.get("/").content.decode()
    assert page.count("No worker is running") == 1 and GONE not in page


def test_every_page_that_promises_says_that_nobody_works(
    operator: Client, make_account: Callable[..., Account]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    row = outbox_row(account)
    pages = [
        reverse("outbox:detail", args=[row.pk]),
        reverse("outbox:compose"),
        reverse("outbox:bulk_all") + "?action=send_now",
        reverse("mailbox:account", args=[account.pk]),
        reverse("test_mail", args=[account.pk]),
        reverse("mailbox:accounts"),
    ]
    for page in pages:
        assert GONE in operator.get(page).content.decode(), page
    beat(100)
    said = operator.get(pages[0]).content.decode()
    assert GONE in said and "last seen" in said
    assert "within seconds" not in said
    state = operator.get(reverse("outbox:state", args=[row.pk])).content.decode()
    assert "no worker is running" in state
    WorkerHeartbeat.objects.all().delete()
    beat(5)
    for page in pages:
        assert GONE not in operator.get(page).content.decode(), page
    assert "within seconds" in operator.get(pages[0]).content.decode()


def test_no_time_is_told_for_what_nobody_is_there_to_do(operator: Client, make_account: Callable[..., Account]) -> None:
    account, now = make_account("ops@example.com", **NOWHERE), timezone.now()
    due = outbox_row(account, status="failed", hold="", error="451 later", next_attempt_at=now)
    attempt(due, outcome="network", reply="451 later")
    later = outbox_row(account, send_at=now + timedelta(days=1), next_attempt_at=now + timedelta(days=1))
    Transport.objects.filter(pk=account.imap_id).update(
        next_allowed_at=now + timedelta(minutes=1), failure_count=3, last_reply="* BYE"
    )
    list_, detail = reverse("outbox:list"), reverse("outbox:detail", args=[due.pk])
    accounts = [reverse("mailbox:accounts"), reverse("mailbox:account", args=[account.pk])]
    scheduled = reverse("outbox:detail", args=[later.pk])
    assert "waits for a worker" in operator.get(list_).content.decode()
    for page in (list_, detail, *accounts):
        assert "data-countdown" not in main_of(operator.get(page)), page
    assert "if a worker runs then" in operator.get(scheduled).content.decode()
    beat(5)
    assert "waits for a worker" not in operator.get(list_).content.decode()
    for page in (list_, detail, *accounts):
        assert "data-countdown" in main_of(operator.get(page)), page
    assert "It goes out by itself at its time" in operator.get(scheduled).content.decode()


def main_of(answer: Any) -> str:
    return str(answer.content.decode().partition("<main")[2])


def test_no_account_is_fine_while_nobody_works(operator: Client, make_account: Callable[..., Account]) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    folder = Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    now = timezone.now()
    SyncState.objects.create(account=account, folder=folder, last_success_at=now, last_attempt_at=now)
    push = operator.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert "while workers run, mail is looked for each minute" in push
    pages = ["/", reverse("mailbox:accounts"), reverse("mailbox:account", args=[account.pk])]
    for page in pages:
        said = operator.get(page).content.decode()
        assert "no worker runs" in said and "Mail is fetched as it comes" not in said and "1 fine" not in said, page
    beat(5)
    for page in pages:
        assert "no worker runs" not in operator.get(page).content.decode(), page


def test_a_database_that_is_locked_for_long_keeps_what_was_typed(
    operator: Client, make_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account("ops@example.com", **NOWHERE)

    def refuse(*args: object, **options: object) -> None:
        raise locked()

    monkeypatch.setattr("outbox.views.writing.compose.queue_form", refuse)
    typed = {"account": account.pk, "to": "ann@example.com", "subject": "Long", "body_text": "An hour's <work>"}
    answer = operator.post(reverse("outbox:compose"), typed)
    page = answer.content.decode()
    assert answer.status_code == 503
    assert "What you typed is kept" in page and 'value="An hour&#x27;s &lt;work&gt;"' in page
    assert f'action="{reverse("outbox:compose")}"' in page


@pytest.mark.parametrize("where", ["outbox.views.writing.compose.queue_form", SESSION_LOAD])
@pytest.mark.parametrize(
    "error",
    [OperationalError("connection timeout expired"), InterfaceError("connection is closed"), StorageError("disk full")],
)
def test_a_database_or_disk_that_is_away_is_said_and_keeps_what_was_typed(
    operator: Client,
    make_account: Callable[..., Account],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    operator.raise_request_exception = False

    def refuse(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(where, refuse)
    typed = {"account": account.pk, "to": "ann@example.com", "subject": "Long", "body_text": "An hour's <work>"}
    with CaptureQueriesContext(connection) as queries:
        answer = operator.post(reverse("outbox:compose"), typed)
    page = answer.content.decode()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert "does not answer" in page and 'value="An hour&#x27;s &lt;work&gt;"' in page
    assert "csrfmiddlewaretoken" in page and f'action="{reverse("outbox:compose")}"' in page
    assert len(queries) < 12


def test_a_mistake_of_ours_is_no_trouble_of_the_database() -> None:
    cause = sqlite3.OperationalError("no such table: gone")
    cause.sqlite_errorcode = sqlite3.SQLITE_ERROR
    mistake = OperationalError("no such table: gone")
    mistake.__cause__ = cause
    assert not is_trouble(mistake) and is_trouble(OperationalError("server closed the connection unexpectedly"))


def test_signing_in_while_the_database_is_locked_gives_the_busy_page_and_no_password(
    client: Client, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is saved by a middleware, behind every view."""
    user = make_user("operator")
    user.set_password("a long pass phrase")
    user.save()
    client.raise_request_exception = False

    def refuse(*args: object, **options: object) -> None:
        raise locked()

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.save", refuse)
    answer = client.post(reverse("login"), {"username": user.get_username(), "password": "a long pass phrase"})
    page = answer.content.decode()
    assert answer.status_code == 503
    assert f'name="username" value="{user.get_username()}"' in page
    assert "a long pass phrase" not in page and 'type="password" name="password"' in page


def test_the_dashboard_counts_the_codes_of_all_recipients_and_no_250(
    operator: Client, make_account: Callable[..., Account]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    for number in range(130):
        row = outbox_row(account, status="failed", hold="permanent")
        row.recipients.update(status="refused", reply_code=550 if number else 554)
        row.recipients.create(kind="to", address="taken@example.com", status="accepted", reply_code=250)
        attempt(row, outcome="partial", reply_code=250)
    whole = outbox_row(account, status="failed", hold="permanent")
    attempt(whole, outcome="permanent", reply_code=552)
    page = operator.get(reverse("dashboard")).content.decode()
    assert "131 sends were refused for good" in page
    assert "Recipients refused: 129 with 550, 1 with 552, 1 with 554." in page


@pytest.mark.parametrize(
    ("outcome", "found_in", "sentence"),
    [
        ("accepted", "", "The server has accepted it for every recipient."),
        ("uncertain", "", "A person marked it as sent."),
        ("permanent", "", "A person marked it as sent."),
        ("uncertain", "Sent", "it was found in the account&#x27;s Sent folder."),
    ],
)
def test_the_page_of_a_sent_mail_says_who_says_so(
    operator: Client, make_account: Callable[..., Account], outcome: str, found_in: str, sentence: str
) -> None:
    row = outbox_row(make_account("ops@example.com", **NOWHERE), status="sent")
    tried = attempt(row, outcome=outcome)
    if found_in:
        SentLookup.objects.create(attempt=tried, uncertain_at=timezone.now(), found_in=found_in)
    assert sentence in operator.get(reverse("outbox:detail", args=[row.pk])).content.decode()


def test_a_mail_that_came_back_for_everybody_is_no_green_sent(
    operator: Client, make_account: Callable[..., Account]
) -> None:
    row = outbox_row(make_account("ops@example.com", **NOWHERE), status="sent")
    other = row.recipients.create(kind="cc", address="bob@example.com", status="accepted")
    row.recipients.update(status="accepted")
    attempt(row, outcome="accepted")
    report = {"action": "failed", "reported_at": timezone.now(), "is_proven": True}
    first = row.recipients.exclude(pk=other.pk).get()
    DeliveryReport.objects.create(outbox=row, recipient=first, address=first.address, **report)
    for page in (reverse("outbox:detail", args=[row.pk]), reverse("outbox:list")):
        assert re.search(r'badge tone-fine">.*? Sent<', operator.get(page).content.decode(), re.S), page
    DeliveryReport.objects.create(outbox=row, recipient=other, address=other.address, **report)
    detail = operator.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert "it came back for every recipient: nobody has it" in detail
    assert "notice tone-broken send-notice" in detail
    cell = operator.get(reverse("outbox:list")).content.decode().split(f'id="row-{row.pk}-state"')[1].split("</div>")[0]
    assert "Bounced" in cell and "tone-fine" not in cell


def test_no_time_is_told_while_sending_is_paused_or_off(operator: Client, make_account: Callable[..., Account]) -> None:
    account, now = make_account("ops@example.com", **NOWHERE), timezone.now()
    beat(5)
    due = outbox_row(account, status="failed", hold="", error="451 later", next_attempt_at=now + timedelta(minutes=1))
    list_, detail = reverse("outbox:list"), reverse("outbox:detail", args=[due.pk])
    assert "data-countdown" in main_of(operator.get(list_))
    poll = operator.get(list_).context["poll"]
    SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": now})
    assert "waits: sending is paused" in operator.get(poll).content.decode()  # also on a page that stays open
    for page in (list_, detail):
        assert "data-countdown" not in main_of(operator.get(page)), page
    SendingSwitch.objects.update(paused_at=None)
    Account.objects.update(sending_paused_at=now)
    assert "waits: sending is paused" in main_of(operator.get(list_))
    Account.objects.update(send_enabled=False)
    assert "waits: sending is off" in main_of(operator.get(list_))
