"""Lists that are too long to be made while their reader waits: workers make a CSV file of them."""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mailbox.accounts.create import TransportFields, create_account
from mailbox.exports import list_pages, requests, writing
from mailbox.models import Account, AccountGrant, AuditEntry, Export, Quarantine, SyncRun, SyncRunFolder
from mailbox.views import csv_export
from mailbox.views import exports as export_views
from mailbox.views import quarantine as quarantine_views
from mailbox.views.accounts import accounts as account_views
from mailbox.views.activity import activity as activity_views
from outbox.models import OutboxMessage, SuppressedAddress
from outbox.views.attachments import attachments
from outbox.views.lists import outbox_list, suppressed
from prx_email_site.list_exports import tasks
from prx_email_site.list_exports.lists import LISTS
from prx_email_site.list_exports.tasks import list_export_slice, list_export_sweep
from tests.rows import NOWHERE, folder_of, letter, outbox_row, store

pytestmark = pytest.mark.django_db
ROWS = 12
VIEWS = (
    account_views,
    activity_views,
    attachments,
    csv_export,
    export_views,
    outbox_list,
    quarantine_views,
    suppressed,
)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture(autouse=True)
def lists_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above ten rows; a page has five, a piece seven at least."""
    for module in VIEWS:
        monkeypatch.setattr(module, "MOST", 10, raising=False)
        monkeypatch.setattr(module, "PAGE", 5, raising=False)
    monkeypatch.setattr(list_pages, "PIECE_ROWS", 7)


def with_file(raw: bytes, name: str) -> bytes:
    mail = message_from_bytes(raw, policy=policy.SMTP)
    mail.add_attachment(b"x", maintype="application", subtype="pdf", filename=name)
    return mail.as_bytes()


def fill(account: Account) -> None:
    now = timezone.now()
    Account.objects.filter(pk=account.pk).update(display_name="=Account 0")
    for number in range(1, ROWS):
        server = TransportFields("localhost", 1, "ops", password="secret")
        create_account(f"ops{number}@example.com", server, server, display_name=f"=Account {number}")
    AuditEntry.objects.all().delete()
    for number in range(ROWS):
        received, written = letter(f"=Mail {number}"), letter(f"=Written {number}")
        if number % 2:
            received = with_file(received, f"=file {number}")
        else:
            written = with_file(written, f"=file {number}")
        store(account, received, at=now - timedelta(minutes=number))
        outbox_row(account, f"=Written {number}", written, status="sent", sent_at=now)
        AuditEntry.objects.create(account=account, verb="retry", detail=f"=entry {number}")
        Quarantine.objects.create(
            account=account, folder=folder_of(account), uidvalidity=1, uid=number + 1, error=f"=error {number}"
        )
        SuppressedAddress.objects.create(account=account, address=f"a{number}@example.net", reason="bounced")
        run = SyncRun.objects.create(started_at=now)
        SyncRunFolder.objects.create(run=run, account=account, folder_name="INBOX", ok=True, note=f"=note {number}")


# list -> its URL, the column that tells its rows apart, and the value of that in row n
SHOWN: dict[str, tuple[str, str, str]] = {
    "accounts": ("/accounts/?format=csv&sort=state", "display_name", "'=Account {}"),
    "messages": ("/messages/list.csv", "subject", "'=Mail {}"),
    "outbox": ("/outbox/?format=csv", "subject", "'=Written {}"),
    "attachments": ("/outbox/attachments/?format=csv", "name", "'=file {}"),
    "activity": ("/activity/?format=csv&verb=retry", "detail", "'=entry {}"),
    "quarantine": ("/quarantine/?format=csv", "error", "'=error {}"),
    "suppressed": ("/outbox/suppressed/?format=csv", "address", "a{}@example.net"),
    "runs": ("/accounts/{account}/runs/?format=csv", "note", "'=note {}"),
}


def url_of(name: str, account: Account) -> str:
    return SHOWN[name][0].format(account=account.pk)


def asked(client: Client, url: str) -> Export:
    """The export that the list's own link leads to."""
    page = client.get(url).headers["Location"]
    said = client.get(page).content.decode()
    assert "a worker makes the CSV file" in said
    (key,) = re.findall(r'name="key" value="([^"]+)"', said)
    for _ in range(2):  # sent twice it is one
        assert client.post(page, {"key": key}).status_code == 302
    return Export.objects.get(key=key)


def made(export: Export) -> None:
    while Export.objects.unfinished().filter(pk=export.pk, error="").exists():
        list_export_slice(export.pk)
    export.refresh_from_db()


def rows_of(client: Client, export: Export) -> list[dict[str, str]]:
    response = client.get(f"/exports/{export.pk}/file/")
    content = b"".join(response.streaming_content)  # type: ignore[attr-defined]
    assert len(content) == export.size == int(response.headers["Content-Length"])
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def test_every_list_that_has_a_title_is_here() -> None:
    assert LISTS.keys() == list_pages.TITLES.keys() == SHOWN.keys()


@pytest.mark.parametrize("name", SHOWN)
def test_a_long_list_is_made_by_workers_with_every_row_once_and_no_formula(
    name: str, client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    fill(account)
    client.force_login(make_user("administrator"))
    export = asked(client, url_of(name, account))
    under_way = client.get(f"/exports/{export.pk}/").content.decode()
    assert "Under way" in under_way and client.get(f"/exports/{export.pk}/file/").status_code == 302
    made(export)
    _url, column, value = SHOWN[name]
    rows = rows_of(client, export)
    assert tuple(rows[0]) == tuple(LISTS[name].head)
    assert sorted(row[column] for row in rows) == sorted(value.format(number) for number in range(ROWS))
    ready = client.get(f"/exports/{export.pk}/").content.decode()
    assert f"{ROWS} lines" in ready and "Manifest" not in ready
    assert export.ends_at and export.ends_at > timezone.now() + timedelta(days=6)
    assert str(list_pages.TITLES[name]) in client.get("/exports/").content.decode()


@pytest.mark.parametrize("name", SHOWN)
def test_a_short_list_is_made_at_once_with_the_same_lines(
    name: str, client: Client, account: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(account)
    client.force_login(make_user("administrator"))
    export = asked(client, url_of(name, account))
    made(export)
    by_workers = rows_of(client, export)
    for module in VIEWS:
        monkeypatch.setattr(module, "MOST", ROWS, raising=False)
    file = client.get(url_of(name, account))
    assert file.headers["Content-Type"].startswith("text/csv")
    text = b"".join(file.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    assert list(csv.DictReader(io.StringIO(text))) == by_workers


def test_the_filters_and_the_order_of_the_list_hold(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    fill(account)
    for number in range(11):
        outbox_row(other, f"Theirs {number}", status="failed", hold="permanent")
    client.force_login(make_user("administrator"))
    query = f"account={other.pk}&state=failed_for_good&order=oldest&format=csv"
    export = asked(client, f"/outbox/?{query}")
    made(export)
    assert [row["subject"] for row in rows_of(client, export)] == [f"Theirs {number}" for number in range(11)]


def test_killed_in_the_middle_it_goes_on_and_of_two_workers_one_writes_each_piece(
    client: Client, account: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    fill(account)
    client.force_login(make_user("administrator"))
    export = asked(client, url_of("outbox", account))
    add, calls = writing._add, iter(range(100))

    def killed(*args: Any) -> None:
        add(*args)
        if next(calls) % 2 == 0:
            raise Killed

    monkeypatch.setattr(writing, "_add", killed)
    died = 0
    while Export.objects.unfinished().exists():
        try:
            list_export_slice(export.pk)
        except Killed:
            died += 1
    export.refresh_from_db()
    assert died >= 2
    assert sorted(row["subject"] for row in rows_of(client, export)) == sorted(f"'=Written {n}" for n in range(ROWS))


def test_the_file_holds_what_its_reader_may_see_and_is_refused_once_that_is_no_more(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    fill(account)
    outbox_row(other, "Not for her", status="sent")
    viewer = make_user("")
    grant = AccountGrant.objects.create(user=viewer, account=account, role="viewer")
    client.force_login(viewer)
    export = asked(client, url_of("outbox", account))
    made(export)
    assert export.accounts == [account.pk]
    assert len(rows_of(client, export)) == ROWS
    grant.delete()
    assert client.get(f"/exports/{export.pk}/file/").status_code == 403
    somebody = Client()
    somebody.force_login(make_user("operator"))
    assert somebody.get(f"/exports/{export.pk}/").status_code == 403


def test_activity_of_no_account_is_for_administrators_of_all_accounts_alone(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    for _ in range(11):
        AuditEntry.objects.create(verb="retry")
    user = make_user("administrator")
    client.force_login(user)
    export = asked(client, url_of("activity", account))
    made(export)
    assert export.accounts == [0] and requests.may_read(user, export)
    user.groups.clear()
    user = User.objects.get(pk=user.pk)
    assert not requests.may_read(user, export)


def test_whoever_may_no_longer_gets_no_file(client: Client, account: Account, make_user: Callable[..., User]) -> None:
    fill(account)
    user = make_user("administrator")
    client.force_login(user)
    runs, outbox = (asked(client, url_of(name, account)) for name in ("runs", "outbox"))
    account.delete()
    made(runs)
    assert runs.error == writing.NOT_ALLOWED and runs.finished_at
    User.objects.filter(pk=user.pk).update(is_active=False)
    made(outbox)
    assert outbox.error == writing.NOT_ALLOWED and not OutboxMessage.objects.exists()


def test_what_is_no_list_no_filter_or_no_form_is_refused(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    assert client.get("/lists/secrets/export/").status_code == 404
    assert client.get("/lists/outbox/export/?state=nonsense").status_code == 400
    assert client.get("/lists/runs/export/?account=999").status_code == 404
    assert "Press the button again." in client.post("/lists/outbox/export/", {"key": "no key"}).content.decode()
    assert not Export.objects.exists()


def test_a_forgotten_one_is_queued_again(
    account: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    fields = {"what": "list", "form": "csv", "query": "list=outbox", "user": make_user("administrator")}
    export = Export.objects.create(key=uuid.uuid4(), moved_at=long_ago, **fields)
    Export.objects.create(key=uuid.uuid4(), **fields)
    queued: list[int] = []
    monkeypatch.setattr(tasks, "queue_slice", queued.append)
    assert list_export_sweep() == {"exports": 1} and queued == [export.pk]
