"""A difference between stored mail and the server's, as it is told: incident, page, signed report, command."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import Kind
from alerts.problems.find import find_problems
from mailbox.completeness import signature
from mailbox.models import (
    Account,
    Completeness,
    WorkerHeartbeat,
)
from tests.commands import Run, run
from tests.mailbox.sync.synced import MakeAccount, account
from tests.rows import NOWHERE

__all__ = ["account", "run"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def differing(make_account: MakeAccount) -> Account:
    """An account of whose INBOX a message is missing."""
    account = make_account("ops@example.com", **NOWHERE)
    finding = {"uid": 7, "what": "missing", "remedy": "fetch", "stored_size": None, "stated_size": None}
    line = {"folder": "INBOX", "uidvalidity": 1, "at": "2024-03-02T03:12:00+00:00", "on_server": 12340,
            "stored": 12339, "let_go": 0, "quarantined": 0, "waiting": 0, "expunged": 0, "sampled": 50, "differ": 1,
            "error": "", "findings": [finding]}  # fmt: skip
    report = {"account": account.email, "started_at": "2024-03-02T03:00:00+00:00", "folders": [line],
              "finished_at": "2024-03-02T03:12:00+00:00", "differ": 1}  # fmt: skip
    Completeness.objects.create(
        account=account,
        document=signature.sign(report),
        differing=1,
        finished_at=datetime(2024, 3, 2, 3, 12, tzinfo=UTC),
    )
    return account


def test_a_difference_is_an_incident_that_names_it(differing: Account) -> None:
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="a", cluster_pid=1, seen_at=now, started_at=now)
    (found,) = [each for each in find_problems(now).found if each.kind == Kind.INCOMPLETE]
    assert found.account_id == differing.pk and "INBOX, UID 7" in found.sentence
    assert found.path == reverse("mailbox:account_completeness", args=[differing.pk])


@pytest.mark.pages
def test_the_page_says_it_and_hands_out_what_verifies(
    differing: Account, make_user: Callable[..., User], client: Client, tmp_path: Path, run: Run
) -> None:
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:account_completeness", args=[differing.pk])).content.decode()
    assert "12,339 of 12,340" in page and "1 differs" in page and "The server has it and it is not here." in page
    assert "12,339 of 12,340" in client.get(reverse("mailbox:account", args=[differing.pk])).content.decode()
    file = tmp_path / "report.json"
    file.write_bytes(client.get(reverse("mailbox:account_completeness_report", args=[differing.pk])).content)
    status, said = run("completeness", "--verify", str(file))
    assert (status, said["error"]) == (0, None)
    file.write_text(file.read_text().replace("12340", "12339"))
    status, said = run("completeness", "--verify", str(file))
    assert (status, said["error"]["message"]) == (1, "It was changed after it was signed.")


@pytest.mark.pages
def test_an_operator_has_it_compared_at_once_and_a_viewer_does_not(
    differing: Account, make_user: Callable[..., User], client: Client
) -> None:
    address = reverse("mailbox:account_compare", args=[differing.pk])
    client.force_login(make_user("viewer"))
    assert client.post(address).status_code == 403
    client.force_login(make_user("operator"))
    assert client.post(address).status_code == 302
    assert Completeness.objects.get().next_at <= timezone.now()


def test_the_command_says_it_and_fails_while_something_differs(
    differing: Account, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = run("completeness", differing.email)
    assert (status, signature.fault_of(said["data"]["rows"][0]["document"])) == (1, "")
    assert (said["ok"], said["error"]["code"]) == (False, "Differs") and differing.email in said["error"]["message"]
    with pytest.raises(SystemExit):
        call_command("completeness")
    words = capsys.readouterr().out
    assert "INBOX: 12,339 of 12,340 at 03:12; 1 differs" in words
    assert "UID 7: The server has it and it is not here." in words
