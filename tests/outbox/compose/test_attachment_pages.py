"""Attachments both ways in the browser, and the policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.messages import places
from mailbox.models import Account, AccountGrant, AuditEntry, StorageUse
from mailbox.tasks import pictures as pictures_tasks
from outbox.models import AttachmentPolicy, OutboxAttachment
from outbox.policy_form import read_size, write_size
from outbox.tasks import storage as storage_tasks
from outbox.views.attachments import attachment_selection
from tests.rows import NOWHERE, letter_with, outbox_row, queries_of, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
PAGE, POLICY = "/outbox/attachments/", "/outbox/attachments/policy/"
STORAGE = "/outbox/attachments/storage/"


def names(client: Client, **query: Any) -> list[str]:
    response = client.get(PAGE, query)
    assert response.status_code == 200
    return [row.filename for row in response.context["rows"]]


def test_files_of_both_ways_are_listed_by_the_date_of_their_mail_and_filtered(
    viewer: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    other, now = make_account("other@example.com", **NOWHERE), timezone.now()
    store(other, letter_with(b"x" * 200_000, "in.png", "image/png"), at=now - timedelta(days=1))
    store(account, letter_with(b"%PDF", "in.pdf"), at=now - timedelta(days=9))  # stored later, and older
    outbox_row(account, raw=letter_with(b"%PDF", "out.pdf"))
    assert names(viewer) == ["out.pdf", "in.png", "in.pdf"]
    assert names(viewer, direction="received") == ["in.png", "in.pdf"]
    assert names(viewer, direction="sent") == ["out.pdf"]
    assert names(viewer, type="pdf") == ["out.pdf", "in.pdf"]
    assert names(viewer, type="image", direction="sent") == []
    assert names(viewer, type="image") == ["in.png"]
    assert names(viewer, type="office") == names(viewer, size="1m") == []
    assert names(viewer, size="100k") == ["in.png"]
    assert names(viewer, account=other.pk) == ["in.png"]
    assert names(viewer, q="IN.") == ["in.png", "in.pdf"]
    assert names(viewer, q="100%") == []
    assert names(viewer, until=(now - timedelta(days=5)).date()) == ["in.pdf"]
    assert names(viewer, since=(now - timedelta(days=5)).date()) == ["out.pdf", "in.png"]


def test_pages_by_key_show_every_file_once_also_where_times_are_equal(viewer: Client, account: Account) -> None:
    at = timezone.now()
    for number in range(4):
        store(account, letter_with(b"%PDF", f"in{number}.pdf"), at=at)
        outbox_row(account, raw=letter_with(b"%PDF", f"out{number}.pdf"))
    OutboxAttachment.objects.update(created_at=at)
    seen, url = [], f"{PAGE}?limit=3"
    while url:
        response = viewer.get(url)
        seen += [row.filename for row in response.context["rows"]]
        following = response.context["next_url"]
        url = PAGE + following if following else ""
    assert sorted(seen) == sorted([f"in{n}.pdf" for n in range(4)] + [f"out{n}.pdf" for n in range(4)])


def test_names_are_looked_through_stretch_by_stretch_and_every_file_is_found_once(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one direction's stretch ends long before the other's, and where most of the mail is gone."""
    now = timezone.now()
    for number in range(12):
        gone = {"gone_at": now} if number % 4 == 1 else {}
        name = f"Plan {number}.pdf" if number % 3 == 0 else f"other {number}.pdf"
        store(account, letter_with(b"%PDF", name), at=now - timedelta(hours=number), **gone)
        outbox_row(account, raw=letter_with(b"%PDF", f"out {name}"))
    expected = [f"Plan {number}.pdf" for number in (0, 3, 6)] + [f"out Plan {number}.pdf" for number in (0, 3, 6, 9)]
    monkeypatch.setattr(attachment_selection, "LOOKED_AT", 3)
    monkeypatch.setattr(attachment_selection, "SPARE", 1)
    seen, url, pages = [], f"{PAGE}?limit=2&q=PLAN", 0
    while url and pages < 20:
        response = viewer.get(url)
        seen += [row.filename for row in response.context["rows"]]
        following, pages = response.context["next_url"], pages + 1
        url = PAGE + following if following else ""
    assert sorted(seen) == sorted(expected)
    assert pages > 3


def test_a_page_that_found_nothing_so_far_leads_further_back(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        store(account, letter_with(b"%PDF", f"{number}.pdf"))
    monkeypatch.setattr(attachment_selection, "LOOKED_AT", 2)
    assert "Look further back" in viewer.get(PAGE, {"q": "contract"}).content.decode()


def test_an_earlier_place_moves_the_attachment_with_its_mail(viewer: Client, account: Account) -> None:
    now = timezone.now()
    moved = store(account, letter_with(b"%PDF", "moved.pdf"), at=now)
    store(account, letter_with(b"%PDF", "other.pdf"), at=now - timedelta(days=1))
    assert names(viewer) == ["moved.pdf", "other.pdf"]
    moved.places.update(received_at=now - timedelta(days=2))
    places.aggregate([moved.pk], now)
    assert names(viewer) == ["other.pdf", "moved.pdf"]


@pytest.mark.parametrize("direction", ["", "received", "sent"])
@pytest.mark.in_part(3)
def test_the_list_costs_the_same_queries_however_long_it_is(viewer: Client, account: Account, direction: str) -> None:
    def add_rows(number: int = 18) -> None:
        for index in range(number):
            store(account, letter_with(b"%PDF", f"{index}.pdf"))
            outbox_row(account, raw=letter_with(b"%PDF", f"{index}.pdf"))

    AttachmentPolicy.current()  # made from the defaults when first asked for
    add_rows(2)
    before, after = queries_of(viewer, f"{PAGE}?direction={direction}", add_rows)
    assert before == after <= 12


def test_files_of_accounts_the_user_may_not_see_are_not_listed(
    client: Client, make_user: Callable[..., User], account: Account, make_account: Callable[..., Account]
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    store(other, letter_with(b"%PDF", "secret.pdf"))
    outbox_row(other, raw=letter_with(b"%PDF", "secret.pdf"))
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="administrator")
    client.force_login(user)
    StorageUse.objects.create(account=other, kind="received", items=1, size=10, counted_at=timezone.now())
    shown = client.get(STORAGE).content.decode()
    assert "other@example.com" not in shown
    assert "On disk" not in shown
    assert names(client) == names(client, direction="sent") == names(client, account=other.pk) == []


@pytest.mark.parametrize(
    "query",
    [
        {"direction": "up"},
        {"type": "odd"},
        {"limit": "0"},
        {"size": "huge"},
        {"since": "yesterday"},
        {"until": "2026-02-31"},
        {"since": "0001-01-01"},
        {"before": "1-2"},
        {"before": "1-7-3"},
        {"before": "x"},
    ],
)
def test_an_address_that_asks_for_what_there_is_not_gets_a_sentence(viewer: Client, query: dict[str, str]) -> None:
    assert viewer.get(PAGE, query).status_code == 400


def test_empty_pages_say_what_they_will_show(viewer: Client) -> None:
    assert "No attachments yet" in viewer.get(PAGE).content.decode()
    assert "Nothing was attached yet" in viewer.get(PAGE, {"direction": "sent"}).content.decode()


def test_storage_used_is_counted_by_account_and_in_all(
    viewer: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    assert "Not counted yet" in viewer.get(STORAGE).content.decode()
    other = make_account("other@example.com", **NOWHERE)
    messages = [store(each, letter_with(b"x" * 5_000, "a.pdf")) for each in (account, account, other)]
    row = outbox_row(account, raw=letter_with(b"y" * 700, "b.pdf"))
    for _ in range(2):  # a second count replaces the first
        pictures_tasks.count_storage()
        storage_tasks.count_storage()
    context = viewer.get(STORAGE).context
    assert [each.name for each in context["used"]] == [account.email, other.email]
    assert context["used"][0].sizes == {
        "received": messages[0].size + messages[1].size,
        "received_files": 10_000,
        "sent": row.mime_size,
        "sent_files": 700,
    }
    assert context["all"].items["received"] == 3
    assert context["disk"].size > 0


def test_the_storage_page_costs_the_same_queries_however_many_accounts_there_are(
    viewer: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    def add(number: int = 9) -> None:
        for index in range(number):
            each = make_account(f"a{index}-{number}@example.com", **NOWHERE)
            StorageUse.objects.create(account=each, kind="received", items=1, size=10, counted_at=timezone.now())

    add(1)
    before, after = queries_of(viewer, STORAGE, add)
    assert before == after <= 8


def test_an_administrator_edits_the_policy(administrator: Client) -> None:
    administrator.post(POLICY, {"max_size": "10 MiB", "types": "application/pdf\nimage/png, image/png"})
    policy = AttachmentPolicy.objects.get()
    assert policy.max_size_bytes == 10 * 1024 * 1024
    assert policy.allowed_content_types == ["application/pdf", "image/png"]
    assert policy.updated_by is not None
    assert AuditEntry.objects.get().verb == "edit_policy"
    assert "10 MiB" in administrator.get(POLICY).content.decode()


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"max_size": "0", "types": "a/b"}, "max_size", "must be greater than 0"),
        ({"max_size": "-5 MB", "types": "a/b"}, "max_size", "This is no size"),
        ({"max_size": "much", "types": "a/b"}, "max_size", "This is no size"),
        ({"max_size": "9999999 GiB", "types": "a/b"}, "max_size", "smaller size"),
        ({"max_size": "", "types": "a/b"}, "max_size", "Give the largest size"),
        ({"max_size": "5 MB", "types": ""}, "types", "Allow at least one type"),
        ({"max_size": "5 MB", "types": "pdf"}, "types", "is no type"),
        ({"max_size": "5 MB", "types": "*/*"}, "types", "is no type"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_at_its_field(
    administrator: Client, fields: dict[str, str], field: str, sentence: str
) -> None:
    before = AttachmentPolicy.current().max_size_bytes
    response = administrator.post(POLICY, fields)
    assert sentence in " ".join(response.context["form"].errors[field])
    assert AttachmentPolicy.current().max_size_bytes == before


def test_a_size_is_written_as_it_is_read() -> None:
    for size in (1, 1000, 1024, 25 * 1024**2, 3 * 1024**3, 26_214_401):
        assert read_size(write_size(size)) == size
    assert read_size("1,5 kB") == 1536


def test_only_an_administrator_of_everything_sees_the_policy_form(
    client: Client, make_user: Callable[..., User], account: Account
) -> None:
    assert client.get(POLICY)["Location"].startswith(reverse("login"))
    assert client.get(PAGE)["Location"].startswith(reverse("login"))
    granted = make_user("")
    AccountGrant.objects.create(user=granted, account=account, role="administrator")
    for user in (make_user("operator"), granted):
        client.force_login(user)
        assert client.get(POLICY).status_code == 403
        assert client.post(POLICY, {"max_size": "1 MiB", "types": "a/b"}).status_code == 403
        assert "Edit the policy" not in client.get(PAGE).content.decode()
