"""What workers ask by the clock, and what every page and every scrape asks, costs the same after years of mail.

Each task of the schedules runs here against few rows, and no statement's plan may read all rows of a table that grows
with the mail, nor all of an account: SQLite keeps no statistics here, so a plan is the same with a million rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import Schedule

from alerts.events.webhook_delivery import send
from alerts.models import Webhook
from alerts.problems.find import find_of_accounts
from alerts.webhook_views import counted
from mailbox.models import Account, Message, WorkerHeartbeat
from outbox import api
from outbox.compose import submit
from outbox.compose.build import Request
from outbox.compose.create import SendRequest, check_smtputf8
from outbox.compose.submitted_mail import Submitted
from outbox.delivery import recovery
from outbox.models import OutboxMessage, SentCopy
from prx_email_site import needs
from prx_email_site.monitoring.metrics_collector import InstallationCollector
from tests.query_plans import Statement, plan_of, statements
from tests.rows import letter, looked_yesterday

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by its statistics."),
]
GROWS = frozenset(
    {
        *("attachments", "audit_entries", "conversation_links", "delivery_attempts", "delivery_reports", "events"),
        *("image_fetches", "later_readings", "message_places", "message_search", "messages", "messages_let_go"),
        *("outbox", "outbox_attachments", "outbox_recipients", "sent_copies", "sent_lookups", "sync_run_folders"),
        *("sync_runs", "webhook_deliveries"),
    }
)
# Partial indexes that hold most rows of their tables.
LARGE = {"outbox_sent_at", "audit_clicks", "audit_parts", "link_of_thread"}
# Once a day or an hour, a task of this name reads these from end to end: seconds for a million rows.
READ_WHOLE = {
    "mailbox.tasks.tidy": {"messages"},
    "mailbox.tasks.sweep_raw": {"messages", "outbox"},
    "mailbox.tasks.count_storage": {"messages", "attachments"},
    "outbox.tasks.count_storage": {"outbox", "outbox_attachments"},
    "alerts.tasks.prune": {"events"},
}


def _some_needs(account: Account) -> Any:
    accounts = Account.objects.filter(pk=account.pk)
    columns = needs._columns(accounts, accounts.values("pk"), administers=False)
    return User.objects.annotate(**{f"their_{name}": each for name, each in columns.items()}).values().first()


def _submit(account: Account) -> int:
    mail = Submitted(letter(From=account.email, Message_ID="<1@app>"), ("bob@example.com",))
    return submit.submit(account.pk, mail, user=None, program="app", now=timezone.now())


def _send(account: Account) -> Any:
    mail = Request(to=["bob@example.com"], subject="Hello", body_text="Dear Bob")
    return api.queue_request(account.pk, SendRequest(mail, idempotency_key="1"))


ALSO: dict[str, Callable[[Account], Any]] = {
    "metrics": lambda account: list(InstallationCollector(timezone.now()).collect()),
    "badges of some accounts": _some_needs,
    "what a user's own alerts find": lambda account: find_of_accounts([account.pk], timezone.now()),
    "the page of webhooks": lambda account: list(counted()),
    "a webhook's next event": lambda account: send(Webhook.objects.get().pk),
    "whether a server takes SMTPUTF8": lambda account: check_smtputf8(account, timezone.now()),
    "a mail that a program submits": _submit,
    "a mail by the API": _send,
    "credentials that work again": lambda account: recovery.lift_sign_in_holds(account.pk, timezone.now()),
}


@pytest.fixture
def account(settings: Any, tmp_path: Any) -> Account:
    """One of two with mail both ways, a live worker, and a copy for Sent and a webhook that wait."""
    call_command("seed", messages=60, outbox=60, accounts=2, stdout=StringIO())
    looked_yesterday()
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, seen_at=now, started_at=now)
    for row in OutboxMessage.objects.sent()[:3]:
        SentCopy.objects.create(outbox=row, next_try_at=now - timedelta(minutes=1))
    Webhook.objects.create(name="Desk", url="https://hooks.example.com/", next_try_at=now)
    settings.NETWORK = False  # what would be fetched or sent is found, and left alone
    User.objects.create_user("ann")
    return Account.objects.earliest("pk")


@pytest.fixture
def small() -> set[str]:
    """The partial indexes of few rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")
        return {name for (name,) in cursor.fetchall()} - LARGE


def reads_all(statement: Statement, small: set[str]) -> Iterator[tuple[str, str]]:
    """(table, line of the plan) of what reads all rows of a table of GROWS, or all that an account or webhook has."""
    sql = statement[0]
    names = {alias: table for table, alias in re.findall(r'"(\w+)" (\w\d+)\b', sql)}
    goes_on = " LIMIT " in sql and not re.search(r" WHERE .*LIMIT \d+$", sql)  # the newest ones, in the order of a key
    for line in plan_of(statement):
        found = re.match(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?INDEX (\w+)(?: \((.*)\))?)?$", line)
        if found is None or names.get(found[2], found[2]) not in GROWS or found[3] in small:
            continue
        is_whole = found[1] == "SCAN" and not goes_on
        is_of_account = found[4] in ("account_id=?", "webhook_id=?", "folder_id=?")
        if is_whole or is_of_account:
            yield names.get(found[2], found[2]), f"{line}: {sql}"


def planned() -> list[str]:
    return sorted(set(Schedule.objects.values_list("func", flat=True)))


def test_no_task_by_the_clock_reads_all_mail(account: Account, small: set[str]) -> None:
    found, ran = {}, planned()
    for name in ran:
        with statements() as seen:
            import_string(name)()
        each = [wrong for statement in seen if _has_plan(statement) for wrong in reads_all(statement, small)]
        if wrong := [line for table, line in each if table not in READ_WHOLE.get(name, ())]:
            found[name] = wrong
    assert not found
    assert set(READ_WHOLE) <= set(ran) and len(ran) > 20


def test_what_is_asked_often_reads_no_mail_that_is_done(account: Account, small: set[str]) -> None:
    found = {}
    for name, ask in ALSO.items():
        with statements() as seen:
            ask(account)
        assert seen, name
        if wrong := [line for each in seen if _has_plan(each) for _, line in reads_all(each, small)]:
            found[name] = wrong
    assert not found


def test_what_reads_all_is_seen(make_account: Callable[..., Account], small: set[str]) -> None:
    """The measure itself: rows by a column without an index, and all of an account."""
    account = make_account()
    with statements() as seen:
        list(OutboxMessage.objects.filter(mime_digest="x"))
        list(OutboxMessage.objects.filter(account=account, subject="x"))
        list(Message.objects.filter(account=account, subject="x"))
        list(Message.objects.filter(pk=1))
    assert [table for each in seen for table, _ in reads_all(each, small)] == ["outbox", "outbox", "messages"]


def _has_plan(statement: Statement) -> bool:
    return statement[0].lstrip().startswith(("SELECT", "UPDATE", "DELETE")) and "sqlite_master" not in statement[0]
