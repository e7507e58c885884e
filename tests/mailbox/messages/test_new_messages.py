"""What a list says by itself: how many messages came since it was shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.messages.sender_name import name_first
from mailbox.models import Account, TeamMark
from mailbox.search.query import parse
from mailbox.views.reading.search import shown_sender
from tests.mailbox.messages.message_pages import other_account, page
from tests.rows import folder_of, letter, store

__all__ = ["other_account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def poll_of(client: Client, **query: object) -> str:
    return str(client.get(reverse("mailbox:messages"), query).context["poll_url"])


def said(client: Client, url: str) -> str:
    response = client.get(url, headers={"HX-Request": "true"})
    assert response.status_code == 200
    return response.content.decode().strip()


def test_a_list_says_how_many_came_and_leads_to_them_with_its_filters_kept(
    viewer: Client, account: Account, other_account: Account
) -> None:
    store(account, letter("shown"))
    here = {"account": account.pk, "by": "conversation"}
    everywhere, in_account, in_folder = (
        poll_of(viewer),
        poll_of(viewer, **here),
        poll_of(viewer, folder=folder_of(account).pk),
    )
    assert said(viewer, everywhere) == said(viewer, in_account) == said(viewer, in_folder) == ""
    store(account, letter("came"))
    store(other_account, letter("came elsewhere"))
    assert "2 new: show them" in said(viewer, everywhere)
    assert "1 new: show it" in said(viewer, in_account)
    assert f"?account={account.pk}&amp;by=conversation" in said(viewer, in_account)
    assert "1 new: show it" in said(viewer, in_folder)


def test_old_mail_that_a_first_sync_brings_is_not_new_to_a_full_page(viewer: Client, account: Account) -> None:
    for number in range(3):
        store(account, letter(f"number {number}"))
    poll = poll_of(viewer, limit=2)
    store(account, letter("of last year"), at=timezone.now() - timedelta(days=365))
    assert said(viewer, poll) == ""
    store(account, letter("of now"))
    assert "1 new" in said(viewer, poll)


def test_only_what_bears_the_lists_mark_counts(viewer: Client, account: Account) -> None:
    poll = poll_of(viewer, team="done")
    done = store(account, letter("done"))
    store(account, letter("not done"))
    assert said(viewer, poll) == ""
    TeamMark.objects.create(message=done, done_at=timezone.now())
    assert "1 new" in said(viewer, poll)


def test_a_later_page_asks_for_nothing_new_and_strangers_mail_is_not_counted(
    client: Client, viewer: Client, account: Account, make_user: object
) -> None:
    for number in range(3):
        store(account, letter(f"number {number}"))
    first = viewer.get(reverse("mailbox:messages"), {"limit": 2})
    assert viewer.get(reverse("mailbox:messages") + first.context["next_url"]).context["poll_url"] == ""
    client.force_login(make_user(""))  # type: ignore[operator]
    assert said(client, reverse("mailbox:messages_new")) == ""
    assert client.get(reverse("mailbox:messages_new"), {"account": account.pk}).status_code == 404


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("Ann Example <ann@example.com>", "Ann Example"),
        ('"Example, Ann" <ann@example.com>', "Example, Ann"),
        ("ann@example.com", "ann@example.com"),
        ("<ann@example.com>", "<ann@example.com>"),
        ('"bank@example.com" <evil@example.net>', '"bank@example.com" <evil@example.net>'),
        ("Ann <a@example.com>, Bob <b@example.com>", "Ann <a@example.com>, Bob <b@example.com>"),
        ("", ""),
    ],
)
def test_a_senders_name_stands_first_unless_it_passes_for_an_address(sender: str, shown: str) -> None:
    assert name_first(sender) == shown


def test_the_list_shows_the_name_and_the_address_on_hover(viewer: Client, account: Account) -> None:
    store(account, letter("Hello", From="Ann Example <ann@example.com>"))
    shown = page(viewer, "mailbox:messages")
    assert '<span class="truncate" dir="auto" title="Ann Example &lt;ann@example.com&gt;">Ann Example</span>' in shown


def test_a_search_shows_the_address_where_only_it_was_found() -> None:
    sender = "Ann Example <ann@mail.test>"
    assert shown_sender(sender, parse("from:example")) == "Ann <mark>Example</mark>"
    assert "mail" in shown_sender(sender, parse("from:ann@mail.test"))
    assert shown_sender(sender, parse("subject:plan")) == "Ann Example"


def test_an_operator_that_is_none_is_said_and_its_words_are_looked_for(viewer: Client, account: Account) -> None:
    store(account, letter("Hello"))
    shown = page(viewer, "mailbox:search", query="?q=form:ann+subject:Hello")
    assert "There is no “<bdi>form:</bdi>”" in shown
    assert "from:" in shown
    for query in ("?q=subject:Hello", "?q=12:30", "?q=http://example.com", "?q=Re:+Hello"):
        assert "There is no “" not in page(viewer, "mailbox:search", query=query)
