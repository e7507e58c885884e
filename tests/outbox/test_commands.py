"""send, retry and outbox on the command line: one JSON object, exit status 0 or 1, sentences on stderr."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.commands import Run
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    return smtp_server("tls")


@pytest.fixture
def account(account_on: Callable[..., Account], server: SmtpServer) -> Account:
    return account_on(server)


def mail(account: Account, *more: str) -> tuple[str, ...]:
    return ("send", account.email, "--to", "bob@example.test", "--subject", "Hello", "--body", "A text.", *more)


def test_send_delivers_and_answers_with_the_outcome(run: Run, account: Account, server: SmtpServer) -> None:
    status, answer = run(*mail(account, "--to", "cid@example.test"))

    assert status == 0 and answer["ok"] and answer["error"] is None
    assert answer["data"]["status"] == "sent" and answer["data"]["retries"] == 0
    assert server.mails()[0].rcpt_tos == ["bob@example.test", "cid@example.test"]


def test_a_send_for_later_answers_at_once_and_goes_out_at_its_time(
    run: Run, account: Account, server: SmtpServer, settings: Settings
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    at = timezone.now().replace(microsecond=0) + timedelta(hours=2)
    written = at.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M:%S")  # of the site's zone

    status, answer = run(*mail(account, "--at", written, "--idempotency-key", "k"))

    assert status == 0 and answer["ok"] and answer["error"] is None
    assert (answer["data"]["status"], answer["data"]["next_attempt_at"]) == ("pending", at.isoformat())
    assert run(*mail(account, "--at", written, "--idempotency-key", "k")) == (status, answer)
    assert server.mails() == [] and OutboxMessage.objects.get().attempts.count() == 0
    deliver.deliver_account(account.pk, clock=lambda: at)
    assert OutboxMessage.objects.get().status == "sent" and len(server.mails()) == 1


@pytest.mark.parametrize("at", ["2020-01-01 00:00", "2020-01-01T00:00+01:00"])
def test_a_send_for_a_time_that_is_past_is_a_send_for_now(
    run: Run, account: Account, server: SmtpServer, at: str
) -> None:
    assert run(*mail(account, "--at", at))[1]["data"]["status"] == "sent"


@pytest.mark.parametrize("at", ["tomorrow", "2026-02-30 10:00", "2999-01-01 00:00", ""])
def test_a_time_that_nobody_can_mean_is_refused_and_makes_no_mail(run: Run, account: Account, at: str) -> None:
    status, answer = run(*mail(account, "--at", at))

    assert status == 1 and answer["error"]["code"] == "Validation" and not OutboxMessage.objects.exists()


def test_a_failed_send_is_retried_when_due_or_now(run: Run, account: Account, server: SmtpServer) -> None:
    server.refuse("RCPT", "451 4.2.0 Later", times=1)
    status, answer = run(*mail(account))
    assert status == 1 and answer["data"]["status"] == "failed" and answer["error"]["code"] == "Provider"
    pk = str(answer["data"]["outbox_id"])

    status, answer = run("retry", pk)
    assert status == 1 and answer["error"]["message"].startswith("retry_not_due")
    status, answer = run("retry", pk, "--now")
    assert status == 0 and answer["data"]["status"] == "sent" and answer["data"]["retries"] == 1
    status, answer = run("retry", pk)
    assert status == 1 and "not retryable" in answer["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "nobody@example.test", "--to", "b@example.test", "--subject", "S", "--body", "T"),
        ("retry", "99"),
        ("retry", "99999999999999999999999"),
        ("outbox", "--limit", "0"),
        ("outbox", "--limit", "501"),
        ("outbox", "--status", "lost"),
        ("outbox", "--account", "nobody@example.test"),
    ],
)
def test_a_stated_failure_leaves_with_one(run: Run, db: None, arguments: tuple[str, ...]) -> None:
    status, answer = run(*arguments)

    assert status == 1 and answer["ok"] is False
    assert answer["error"]["code"] == "Validation" and answer["error"]["message"]


def test_without_json_a_failure_is_a_sentence_on_stderr(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        call_command(*mail(account, "--to", "broken@"))

    printed = capsys.readouterr()
    assert leaving.value.code == 1 and printed.out == "" and "has nothing behind the @" in printed.err


def test_an_attachment_comes_from_the_store_and_from_nowhere_else(
    run: Run, account: Account, server: SmtpServer, settings: Settings, tmp_path: Path
) -> None:
    assert run(*mail(account, "--attach", "a.txt"))[1]["error"]["message"] == "attachment store not configured"
    (tmp_path / "a.txt").write_text("inside")
    settings.ATTACHMENT_STORE_ENABLED, settings.ATTACHMENT_STORE_DIR = True, tmp_path

    escaping = run(*mail(account, "--attach", "../../etc/passwd.txt"))[1]
    assert escaping["error"]["message"] == "attachment path escapes storage root"
    assert run(*mail(account, "--attach", "a.txt"))[0] == 0
    assert OutboxMessage.objects.get().attachment_rows.get().filename == "a.txt"


def test_outbox_lists_rows_and_counts(run: Run, account: Account, server: SmtpServer) -> None:
    run(*mail(account))
    server.refuse("RCPT", "550 5.1.1 No such user")
    run(*mail(account))

    status, answer = run("outbox", "--account", account.email, "--status", "failed", "--limit", "1")

    assert status == 0 and answer["data"]["counts"] == {"failed": 1, "sent": 1}
    (row,) = answer["data"]["rows"]
    assert (row["status"], row["hold"], row["next_attempt_at"]) == ("failed", "permanent", None)
    assert "No such user" in row["error"]
