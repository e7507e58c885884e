"""The list of accounts: those in trouble first, found by text and by state, and what no waiting mends said at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.accounts.troubleshooting import waiting_is_no_use
from mailbox.errors import OverQuota
from mailbox.models import Account, SyncState, Transport
from tests.rows import NOWHERE, folder_of, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def listed(client: Client, query: str = "") -> list[str]:
    found, url = [], f"/accounts/?limit=2&{query}"
    while url:
        page = client.get(url).content.decode()
        found += re.findall(r"<strong>(\w+)@example", page)
        further = re.search(r'href="(\?[^"]*after=[^"]+)">More', page)
        url = "/accounts/" + further[1].replace("&amp;", "&") if further else ""
    return found


@pytest.fixture
def accounts(make_account: Callable[..., Account]) -> dict[str, Account]:
    made = {name: make_account(f"{name}@example.com", **NOWHERE) for name in ("fine", "paused", "refused", "slow")}
    Transport.objects.filter(pk=made["refused"].smtp_id).update(needs_sign_in_since=timezone.now())
    Account.objects.filter(pk=made["paused"].pk).update(sending_paused_at=timezone.now())
    SyncState.objects.create(
        account=made["slow"], folder=folder_of(made["slow"]), failure_count=3, last_error="no answer"
    )
    return made


def test_those_in_trouble_come_first_page_by_page(viewer: Client, accounts: dict[str, Account]) -> None:
    assert listed(viewer) == ["refused", "slow", "paused", "fine"]
    page = viewer.get(reverse("mailbox:accounts")).content.decode()
    assert '<th aria-sort="ascending">State</th><th><a class="sorts" href="?sort=email">Account</a></th>' in page
    assert listed(viewer, "sort=email") == ["fine", "paused", "refused", "slow"]


def test_accounts_are_found_by_text_and_by_state(viewer: Client, accounts: dict[str, Account]) -> None:
    Account.objects.filter(email="slow@example.com").update(display_name="Büro Wien")
    assert listed(viewer, "q=wien") == listed(viewer, "q=BÜRO") == ["slow"]
    assert listed(viewer, "q=localhost&sort=email") == ["fine", "paused", "refused", "slow"]
    assert listed(viewer, "state=trouble") == ["refused", "slow"]
    assert listed(viewer, "state=paused") == ["paused"]
    assert listed(viewer, "state=fine") == ["fine"]
    assert "No account fits these filters." in viewer.get("/accounts/?q=nobody").content.decode()


@pytest.mark.parametrize("query", ["state=blue", "sort=size", "after=x", "after=9999~a", "after=a@example.com"])
def test_a_filter_or_a_place_that_is_none_is_refused(viewer: Client, query: str) -> None:
    assert viewer.get(f"/accounts/?{query}").status_code == 400


@pytest.mark.parametrize(
    ("said", "has_worked", "expected"),
    [
        ("certificate has expired", True, True),
        ("the host name imap.exmaple.com was not found", True, True),
        ("imap.example.com:25 does not speak TLS", False, True),
        ("imap.example.com:1 refused the connection; is the port right?", False, True),
        ("imap.example.com:993 refused the connection; is the port right?", True, False),  # it restarts
        ("imap.example.com did not answer in time", False, False),
    ],
)
def test_what_no_waiting_mends_is_known(said: str, has_worked: bool, expected: bool) -> None:
    assert waiting_is_no_use(said, has_worked=has_worked) is expected


def test_what_no_waiting_mends_is_said_at_the_first_failure(viewer: Client, accounts: dict[str, Account]) -> None:
    words = "Hostname mismatch, certificate is not valid for 'mail.example.com'"
    SyncState.objects.create(
        account=accounts["fine"], folder=folder_of(accounts["fine"]), failure_count=1, last_error=words
    )
    page = viewer.get("/accounts/?q=fine").content.decode()
    assert "tone-broken" in page
    later = timezone.now() + timedelta(minutes=5)
    Transport.objects.filter(pk=accounts["paused"].smtp_id).update(last_reply=words, next_allowed_at=later)
    page = viewer.get("/accounts/?q=paused").content.decode()
    assert "SMTP settings are wrong" in page
    assert "Waiting does not help" in page
    assert listed(viewer, "state=trouble") == ["fine", "paused", "refused", "slow"]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("imap", {"last_reply": f"{OverQuota.WORDS}: [OVERQUOTA]", "wait": True}),
        ("smtp", {"last_reply": "certificate has expired", "failing": timedelta(seconds=1)}),
        ("smtp", {"last_reply": "451 Try again", "failing": timedelta(minutes=11)}),
    ],
)
def test_what_a_page_tells_as_trouble_is_found_among_those_in_trouble(
    viewer: Client, accounts: dict[str, Account], kind: str, changes: dict[str, Any]
) -> None:
    now = timezone.now()
    state = {"last_reply": changes["last_reply"], "failure_count": 1}
    state["next_allowed_at"] = now + timedelta(minutes=5) if "wait" in changes else None
    state["failing_since"] = now - changes["failing"] if "failing" in changes else None
    Transport.objects.filter(pk=getattr(accounts["fine"], f"{kind}_id")).update(**state)
    outbox_row(accounts["fine"])  # mail that waits for the server
    assert listed(viewer, "state=trouble") == ["fine", "refused", "slow"]
