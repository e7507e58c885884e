"""Accounts and attachments as files for a spreadsheet: what the page shows, no formula, nothing of other accounts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mailbox.models import Account, AccountGrant, SyncState
from tests.rows import NOWHERE, folder_of, letter_with, outbox_row, store, workers_run

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
FORMULA, SAFE = "=HYPERLINK(1)", "'=HYPERLINK(1)"
SECRET = "hunter2-sesame"


def lines(client: Client, url: str, **query: object) -> list[dict[str, str]]:
    response = client.get(url, query | {"format": "csv"})
    assert response.status_code == 200
    name = url.strip("/").rpartition("/")[2]
    assert response["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    assert response["Cache-Control"] == "private, no-store"
    text = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    assert SECRET not in text
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def other(make_account: Callable[..., Account]) -> Account:
    return make_account("other@example.com", **NOWHERE, imap_password=SECRET, smtp_password=SECRET)


def test_accounts_come_as_the_page_orders_filters_and_says_them(
    viewer: Client, account: Account, other: Account
) -> None:
    workers_run()
    Account.objects.filter(pk=other.pk).update(display_name=FORMULA, send_enabled=False)
    now = timezone.now()
    at = now.replace(microsecond=0)
    SyncState.objects.create(account=other, folder=folder_of(other), failure_count=3, last_error=FORMULA)
    SyncState.objects.create(account=account, folder=folder_of(account), last_success_at=at)
    outbox_row(account, status="failed", hold="uncertain")
    outbox_row(account, status="pending")
    outbox_row(account, status="sent", sent_at=at)
    first, second = lines(viewer, "/accounts/")
    assert (first["email"], first["display_name"], first["server_said"]) == (other.email, SAFE, SAFE)
    assert (first["state"], first["send_enabled"], first["sync_enabled"]) == ("sync fails", "no", "yes")
    assert first["about"] == "The last 3 tries to fetch INBOX failed." and first["last_sent_at"] == ""
    assert (second["id"], second["imap_host"], second["imap_port"]) == (str(account.pk), "localhost", "1")
    assert (second["queued"], second["uncertain"], second["failed"]) == ("1", "1", "0")
    local = timezone.localtime(at).isoformat()
    assert (second["up_to_date_at"], second["last_sent_at"]) == (local, local)
    assert [row["email"] for row in lines(viewer, "/accounts/", q="OTHER")] == [other.email]
    assert [row["email"] for row in lines(viewer, "/accounts/", sort="email")] == [account.email, other.email]
    assert lines(viewer, "/accounts/", state="paused") == []


def test_attachments_come_as_the_page_filters_them(viewer: Client, account: Account, other: Account) -> None:
    now = timezone.now()
    received = store(other, letter_with(b"x" * 2_000, f"{FORMULA}.png", "image/png"), at=now - timedelta(days=1))
    row = outbox_row(account, FORMULA, raw=letter_with(b"%PDF", "out.pdf"))
    sent, came = lines(viewer, "/outbox/attachments/")
    assert (sent["direction"], sent["name"], sent["subject"], sent["mail"]) == ("sent", "out.pdf", SAFE, str(row.pk))
    assert (sent["account"], sent["from"], sent["to"]) == (account.email, account.email, row.to)
    assert (came["direction"], came["name"], came["type"]) == ("received", f"{SAFE}.png", "image/png")
    assert (came["size"], came["account"], came["from"]) == ("2000", other.email, received.sender)
    assert (came["mail"], came["at"][:16]) == (
        str(received.pk),
        timezone.localtime(received.received_at).isoformat()[:16],
    )
    assert [each["name"] for each in lines(viewer, "/outbox/attachments/", type="pdf")] == ["out.pdf"]
    assert [each["name"] for each in lines(viewer, "/outbox/attachments/", account=account.pk)] == ["out.pdf"]
    assert lines(viewer, "/outbox/attachments/", q="nothing") == []


@pytest.mark.parametrize("url", ["/accounts/", "/outbox/attachments/"])
def test_nothing_of_other_accounts_is_in_a_file(
    client: Client, account: Account, other: Account, make_user: Callable[..., User], url: str
) -> None:
    for each in (account, other):
        outbox_row(each, raw=letter_with(b"%PDF", f"{each.email}.pdf"))
        store(each, letter_with(b"%PDF", f"{each.email}.pdf"))
    user = make_user("")
    AccountGrant.objects.create(user=user, account=other, role="viewer")
    client.force_login(user)
    found = lines(client, url)
    assert found and account.email not in str(found)
    client.force_login(make_user(""))
    assert lines(client, url) == []
    client.logout()
    assert client.get(url, {"format": "csv"}).status_code == 302


@pytest.mark.parametrize(
    "address",
    [
        "/accounts/?state=blue",
        "/accounts/?after=x",
        "/outbox/attachments/?type=blue",
        "/outbox/attachments/?since=yesterday",
        "/outbox/attachments/?before=x",
    ],
)
def test_a_file_of_what_there_is_not_is_refused(viewer: Client, address: str) -> None:
    assert viewer.get(f"{address}&format=csv").status_code == 400


@pytest.mark.parametrize("url", ["/accounts/", "/outbox/attachments/"])
def test_the_page_leads_to_its_file_with_its_filters(viewer: Client, account: Account, url: str) -> None:
    outbox_row(account, raw=letter_with(b"%PDF", "ops.pdf"))
    assert 'href="?q=ops&amp;format=csv"' in viewer.get(url, {"q": "ops"}).content.decode()
    assert 'href="?format=csv"' in viewer.get(url).content.decode()
