"""The search box and its results in the browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant, Message
from mailbox.search.index import index_messages
from tests.rows import NOWHERE, letter, queries_of, store

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def mail(account: Account, subject: str, text: str = "Dear Bob", minutes: int = 0) -> Message:
    message = store(account, letter(subject, text), at=NOON + timedelta(minutes=minutes))
    index_messages([message])
    return message


def result(client: Client, q: str, **more: str) -> str:
    response = client.get(reverse("mailbox:search"), {"q": q, **more})
    assert response.status_code == 200
    return response.content.decode()


def test_results_mark_what_was_found(viewer: Client, account: Account):
    found = mail(account, "Invoice for <March>", "Please pay " + "now " * 60 + "the invoice soon")
    mail(account, "Something else")
    shown = result(viewer, "invoice")
    assert "<mark>Invoice</mark> for &lt;March&gt;" in shown
    assert "now the <mark>invoice</mark> soon" in shown
    assert reverse("mailbox:message", args=[found.pk]) in shown
    assert "Something else" not in shown


def test_the_message_list_has_the_search_box(viewer: Client, account: Account):
    assert f'action="{reverse("mailbox:search")}"' in viewer.get(reverse("mailbox:messages")).content.decode()


def test_what_was_typed_stays_in_the_box_escaped(viewer: Client):
    assert 'value="&quot;&gt;&lt;script&gt;x"' in result(viewer, '"><script>x')


def test_a_search_that_is_not_understood_says_what_to_write(viewer: Client, account: Account):
    shown = result(viewer, "invoice before:tomorrow")
    assert "before:2026-03-31" in shown
    assert 'value="invoice before:tomorrow"' in shown


def test_nothing_found_and_nothing_asked_say_what_to_do_next(viewer: Client, account: Account):
    assert "Nothing found" in result(viewer, "absent")
    assert "What are you looking for?" in result(viewer, "  ")


def test_older_results_are_a_page_away(viewer: Client, account: Account):
    for number in range(5):
        mail(account, f"Letter {number}", minutes=number)
    url = reverse("mailbox:search") + "?q=letter&limit=2"
    subjects: list[str] = []
    while url:
        response = viewer.get(url)
        subjects += [row.subject for row in response.context["rows"]]
        following = response.context["next_url"]
        url = reverse("mailbox:search") + following if following else ""
    assert subjects == [f"Letter {number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("limit", ["0", "501", "x", "-1"])
def test_a_limit_out_of_range_is_refused(viewer: Client, limit: str):
    assert viewer.get(reverse("mailbox:search"), {"q": "a", "limit": limit}).status_code == 400


def test_a_place_no_list_has_written_is_refused(viewer: Client):
    assert viewer.get(reverse("mailbox:search"), {"q": "abc", "before": "x"}).status_code == 400


def test_a_user_sees_results_of_granted_accounts_only(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
):
    other = make_account("other@example.com", **NOWHERE)
    mail(account, "Letter mine")
    mail(other, "Letter secret")
    user = make_user("")
    client.force_login(user)
    assert "Nothing found" in result(client, "letter")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    shown = result(client, "letter")
    assert "mine" in shown
    assert "secret" not in shown


def test_who_is_signed_out_is_sent_to_sign_in(client: Client):
    response = client.get(reverse("mailbox:search"), {"q": "letter"})
    assert response.status_code == 302
    assert reverse("login") in response["Location"]


def test_posting_a_search_is_refused(viewer: Client):
    assert viewer.post(reverse("mailbox:search"), {"q": "letter"}).status_code == 405


def test_a_page_costs_the_same_queries_for_many_rows(viewer: Client, account: Account):
    mail(account, "Letter")
    url = reverse("mailbox:search") + "?q=letter"
    few, many = queries_of(viewer, url, lambda: [mail(account, f"Letter {number}") for number in range(20)])
    assert few == many <= 14
