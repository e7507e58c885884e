"""Conversations in the browser: grouped lists, the message among its own, and the page for paper."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, Message
from mailbox.views.reading import messages
from tests.rows import NOWHERE, folder_of, letter, letter_with, outbox_row, queries_of, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
LIST = "/messages/"


def mail(account: Account, number: int, *references: str, **fields: Any) -> Message:
    headers = {"References": " ".join(references), "In_Reply_To": references[-1]} if references else {}
    raw = letter(f"mail {number}", f"the text of {number}", Message_ID=f"<m{number}@example.com>", **headers)
    return store(account, raw, at=timezone.now() + timedelta(minutes=number - 100), **fields)


def listed(client: Client, **query: Any) -> list[str]:
    response = client.get(LIST, query)
    assert response.status_code == 200
    return [row.subject for row in response.context["rows"]]


def test_a_list_by_conversation_shows_the_newest_of_each_with_their_number(viewer: Client, account: Account) -> None:
    mail(account, 1)
    mail(account, 2, "<m1@example.com>")
    mail(account, 3)
    mail(account, 4, "<m1@example.com>", "<m2@example.com>")
    for narrower in ({}, {"account": account.pk}, {"folder": folder_of(account).pk}):
        assert listed(viewer, by="conversation", **narrower) == ["mail 4", "mail 3"]
        assert listed(viewer, **narrower) == ["mail 4", "mail 3", "mail 2", "mail 1"]
    assert "3 in this conversation" in viewer.get(LIST, {"by": "conversation"}).content.decode()


def test_a_folder_by_conversation_shows_the_newest_that_lies_in_it(viewer: Client, account: Account) -> None:
    mail(account, 1)
    mail(account, 2, "<m1@example.com>", folder="Archive")
    assert listed(viewer, by="conversation", folder=folder_of(account).pk) == ["mail 1"]
    assert listed(viewer, by="conversation", folder=folder_of(account, "Archive").pk) == ["mail 2"]


def test_pages_by_conversation_show_each_once(viewer: Client, account: Account) -> None:
    for number in range(5):
        mail(account, 10 * number)
        mail(account, 10 * number + 1, f"<m{10 * number}@example.com>")
    for narrower in ("", f"&folder={folder_of(account).pk}"):
        seen, url = [], f"{LIST}?limit=2&by=conversation{narrower}"
        while url:
            response = viewer.get(url)
            seen += [row.subject for row in response.context["rows"]]
            following = response.context["next_url"]
            url = LIST + following if following else ""
        assert seen == [f"mail {10 * number + 1}" for number in (4, 3, 2, 1, 0)]


def test_every_link_of_the_list_keeps_the_grouping(viewer: Client, account: Account) -> None:
    mail(account, 1)
    response = viewer.get(LIST, {"by": "conversation", "account": account.pk})
    assert response.context["toggle_url"] == f"?account={account.pk}"
    assert f"?account={account.pk}&amp;by=conversation" in response.content.decode()


def test_a_grouping_nobody_knows_is_refused_with_a_sentence(viewer: Client) -> None:
    response = viewer.get(LIST, {"by": "colour"})
    assert response.status_code == 400
    assert "only by conversation" in response.content.decode()


def pieces(client: Client, message: Message) -> list[str]:
    shown = client.get(reverse("mailbox:message", args=[message.pk])).context["conversation"].pieces
    return [piece.subject for piece in shown]


def test_a_message_stands_among_what_was_received_and_written(viewer: Client, account: Account) -> None:
    first = mail(account, 1)
    written = outbox_row(account, "our answer", parent=first, status="sent")
    ours = f"<outbox-{written.pk}-0@prx-email.local>"
    type(written).objects.filter(pk=written.pk).update(
        provider_message_id=ours, sent_at=first.received_at + timedelta(seconds=30)
    )
    last = mail(account, 3, "<m1@example.com>", ours)
    for message in (first, last):
        assert pieces(viewer, message) == ["mail 1", "our answer", "mail 3"]
    shown = viewer.get(reverse("mailbox:message", args=[first.pk])).content.decode()
    assert reverse("outbox:detail", args=[written.pk]) in shown
    assert "the text of 3" in shown
    assert "Open the newest" in shown
    assert "Open the newest" not in viewer.get(reverse("mailbox:message", args=[last.pk])).content.decode()


def test_a_written_mail_that_came_back_as_a_copy_stands_there_once(viewer: Client, account: Account) -> None:
    first = mail(account, 1)
    row = outbox_row(account, "our answer", parent=first, status="sent", provider_message_id="<m2@example.com>")
    mail(account, 2, "<m1@example.com>", folder="Sent")
    assert pieces(viewer, first) == ["mail 1", "mail 2"]
    row.delete()


def test_a_number_in_a_strangers_message_id_shows_nothing_of_the_outbox(viewer: Client, account: Account) -> None:
    written = outbox_row(account, "confidential", status="sent", provider_message_id="<real@prx-email.local>")
    probing = mail(account, 1, f"<outbox-{written.pk}-0@prx-email.local>")
    assert pieces(viewer, probing) == ["mail 1"]


def test_another_accounts_written_mail_is_not_shown(
    viewer: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    written = outbox_row(other, "confidential", status="sent")
    ours = f"<outbox-{written.pk}-0@prx-email.local>"
    type(written).objects.filter(pk=written.pk).update(provider_message_id=ours)
    assert pieces(viewer, mail(account, 1, ours)) == ["mail 1"]


def test_a_message_alone_shows_no_conversation(viewer: Client, account: Account) -> None:
    message = mail(account, 1)
    assert 'aria-label="Conversation"' not in viewer.get(reverse("mailbox:message", args=[message.pk])).content.decode()


def test_a_message_that_is_gone_from_the_server_still_stands_in_its_place(viewer: Client, account: Account) -> None:
    message = mail(account, 1, gone_at=timezone.now())
    mail(account, 2, "<m1@example.com>")
    assert pieces(viewer, message) == ["mail 1", "mail 2"]


@pytest.mark.parametrize("address", ["/messages/{pk}/", "/messages/?by=conversation", "/messages/{pk}/print/"])
def test_pages_cost_the_same_queries_however_long_the_conversation_is(
    viewer: Client, account: Account, address: str
) -> None:
    first = mail(account, 1)
    mail(account, 2, "<m1@example.com>")

    def add_rows() -> None:
        for number in range(3, 21):
            mail(account, number, "<m1@example.com>")
            outbox_row(account, parent=first)

    viewer.get(address.format(pk=first.pk))  # that it was opened is kept once
    before, after = queries_of(viewer, address.format(pk=first.pk), add_rows)
    assert before == after <= 11


def test_a_long_conversation_is_cut_to_its_newest_and_holds_the_message(viewer: Client, account: Account) -> None:
    first = mail(account, 1)
    for number in range(2, 60):
        mail(account, number, "<m1@example.com>")
    shown = pieces(viewer, first)
    assert shown[0] == "mail 1"
    assert len(shown) == 51
    assert shown[-1] == "mail 59"


def printed(client: Client, message: Message, query: str = "") -> str:
    response = client.get(reverse("mailbox:message_print", args=[message.pk]) + query)
    assert response.status_code == 200
    assert response["Content-Security-Policy"].startswith("sandbox ")
    assert "allow-scripts" not in response["Content-Security-Policy"]
    return response.content.decode()


def test_the_page_for_paper_has_header_lines_and_the_mail(viewer: Client, account: Account) -> None:
    raw = letter("Plan & more", "the text", "<p>the <b>html</b></p>", Cc="carl@example.com")
    shown = printed(viewer, store(account, raw))
    assert "Plan &amp; more" in shown
    assert "Ann &lt;ann@example.com&gt;" in shown
    assert "carl@example.com" in shown
    assert "the <b>html</b>" in shown
    assert "the text" in printed(viewer, Message.objects.get(), "?view=text")
    assert "a.pdf" in printed(viewer, store(account, letter_with(b"%PDF", "a.pdf")))


def test_the_page_for_paper_runs_and_loads_nothing(viewer: Client, account: Account) -> None:
    trick = '<script>alert(1)</script><img src="http://evil.example/x.png" onerror="x()">'
    message = store(account, letter("<script>alert(2)</script>", trick, f"<body bgcolor='red'>{trick}"))
    for query in ("", "?view=text"):
        shown = printed(viewer, message, query)
        assert "<script" not in shown
        assert 'src="http' not in shown
        assert '<img src="http' not in shown


def test_a_conversation_longer_than_a_page_walks_ends_the_page_and_the_next_goes_on(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "WALKED", 8)
    mail(account, 1)
    mail(account, 2)
    for number in range(3, 33):
        mail(account, number, "<m1@example.com>")
    for narrower in ("", f"&folder={folder_of(account).pk}"):
        seen, url, pages = [], f"{LIST}?limit=1&by=conversation{narrower}", 0
        while url:
            response = viewer.get(url)
            seen += [row.subject for row in response.context["rows"]]
            following = response.context["next_url"]
            url, pages = LIST + following if following else "", pages + 1
        assert seen == ["mail 32", "mail 2"]
        assert pages > 2
