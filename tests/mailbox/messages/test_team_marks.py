"""What people here note about a message among themselves: taken, noted, done, seen by; and lists by these marks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AuditEntry, Message, MessagePlace, MessageViewing, TeamMark
from tests.mailbox.messages.message_pages import page
from tests.rows import folder_of, letter, queries_of, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def me(client: Client) -> User:
    return User.objects.get(pk=client.session["_auth_user_id"])


def flags_and_labels_of(message: Message) -> TeamMark:
    return TeamMark.objects.get(pk=message.pk)


def press(client: Client, message: Message, verb: str) -> str:
    url = reverse("mailbox:message_team", args=[message.pk])
    return client.post(url, {"do": verb}, follow=True).content.decode()


def subjects(client: Client, **query: object) -> set[str]:
    return {row.subject for row in client.get(reverse("mailbox:messages"), query).context["rows"]}


def test_a_message_is_taken_by_one_and_the_second_is_told_who_has_it(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    message, second = store(account, letter("Invoice")), Client()
    second.force_login(make_user("operator"))
    press(operator, message, "take")
    assert f"{me(operator).username} has taken this message already." in press(second, message, "take")
    assert flags_and_labels_of(message).assigned_to == me(operator)
    press(second, message, "release")  # only one's own
    assert flags_and_labels_of(message).assigned_to == me(operator)
    press(operator, message, "release")
    assert flags_and_labels_of(message).assigned_to is None


def test_what_is_marked_here_is_kept_with_who_did_it_and_never_written_to_the_mails_server(
    operator: Client, account: Account
) -> None:
    message = store(account, letter("Invoice"))
    before = MessagePlace.objects.values().get(message=message)
    url = reverse("mailbox:message_team", args=[message.pk])
    given = {"assigned_to": me(operator).pk, "note": "Ask <b>Carl</b>", "done": "on", "version": ""}
    shown = operator.post(url, given, follow=True).content.decode()
    assert "Ask &lt;b&gt;Carl&lt;/b&gt;" in shown
    assert flags_and_labels_of(message).done_at
    press(operator, message, "not_done")
    assert flags_and_labels_of(message).done_at is None
    assert MessagePlace.objects.values().get(message=message) == before
    assert not Message.objects.get(pk=message.pk).seen
    assert set(AuditEntry.objects.values_list("verb", "target")) == {
        ("team_marks", f"message:{message.pk}"),
        ("message_not_done", f"message:{message.pk}"),
    }


@pytest.mark.parametrize("was_noted_before", [False, True])
def test_a_note_of_the_meantime_is_shown_and_not_written_over(
    operator: Client, account: Account, make_user: Callable[..., User], was_noted_before: bool
) -> None:
    message, other = store(account, letter("Invoice")), make_user("operator")
    if was_noted_before:
        TeamMark.change(message, other, note="first")
    url = reverse("mailbox:message_team", args=[message.pk])
    form = operator.get(url)
    version = form.context["mark"].changed_at.isoformat() if was_noted_before else ""
    TeamMark.change(message, other, note="of the other")
    shown = operator.post(url, {"note": "mine", "version": version}).content.decode()
    assert "Somebody changed these marks" in shown
    assert "of the other" in shown
    assert "mine" in shown
    assert flags_and_labels_of(message).note == "of the other"
    version = flags_and_labels_of(message).changed_at.isoformat()
    operator.post(url, {"note": "both", "version": version})
    assert flags_and_labels_of(message).note == "both"


def test_a_message_is_assigned_only_to_those_who_may_see_its_account(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    message, stranger, colleague = store(account, letter("Invoice")), make_user(""), make_user("viewer")
    url = reverse("mailbox:message_team", args=[message.pk])
    operator.post(url, {"assigned_to": stranger.pk, "version": ""})
    assert not TeamMark.objects.exclude(assigned_to=None).exists()
    operator.post(url, {"assigned_to": colleague.pk, "version": ""})
    assert flags_and_labels_of(message).assigned_to == colleague
    User.objects.filter(pk=colleague.pk).update(is_active=False)
    form = operator.get(url)
    assert form.context["form"].fields["assigned_to"].queryset.filter(pk=colleague.pk).exists()
    version = form.context["mark"].changed_at.isoformat()
    operator.post(url, {"assigned_to": colleague.pk, "note": "n", "version": version})
    assert (flags_and_labels_of(message).assigned_to, flags_and_labels_of(message).note) == (colleague, "n")


def test_a_viewer_reads_the_marks_and_may_set_none(viewer: Client, operator: Client, account: Account) -> None:
    message = store(account, letter("Invoice"))
    TeamMark.change(message, me(viewer), note="look here")
    viewer.logout()
    viewer.force_login(User.objects.filter(groups__name="viewer").latest("pk"))
    shown = page(viewer, "mailbox:message", message.pk)
    assert "look here" in shown
    assert reverse("mailbox:message_team", args=[message.pk]) not in shown
    assert viewer.post(reverse("mailbox:message_team", args=[message.pk]), {"do": "done"}).status_code == 403
    assert flags_and_labels_of(message).done_at is None


def test_who_opened_a_message_is_said_to_the_others(
    viewer: Client, account: Account, make_user: Callable[..., User]
) -> None:
    message, other = store(account, letter("Invoice")), Client()
    colleague = make_user("operator")
    assert "Nobody else here has opened it." in page(viewer, "mailbox:message", message.pk)
    page(viewer, "mailbox:message", message.pk)
    assert MessageViewing.objects.count() == 1
    other.force_login(colleague)
    shown = page(other, "mailbox:message", message.pk)
    assert f"Opened by <span><bdi>{me(viewer).username}</bdi>" in shown


def test_lists_show_only_what_bears_the_mark_that_is_asked_for(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    user, other = me(operator), make_user("operator")
    mails = {name: store(account, letter(name)) for name in ("plain", "mine", "theirs", "noted", "done")}
    TeamMark.change(mails["mine"], user, assigned_to=user)
    TeamMark.change(mails["theirs"], user, assigned_to=other)
    TeamMark.change(mails["noted"], user, note="look")
    press(operator, mails["done"], "done")
    page(operator, "mailbox:message", mails["plain"].pk)
    due = {
        "mine": {"mine"},
        "assigned": {"mine", "theirs"},
        "note": {"noted"},
        "done": {"done"},
        "open": {"plain", "mine", "theirs", "noted"},
        "unopened": {"mine", "theirs", "noted"},
    }
    inbox = folder_of(account).pk
    for name, expected in due.items():
        for where in ({}, {"account": account.pk}, {"folder": inbox}, {"by": "conversation"}):
            # The press on "done" led to the page of that message, which counts as opening it.
            assert subjects(operator, team=name, **where) == expected, (name, where)
    assert operator.get(reverse("mailbox:messages"), {"team": "blue"}).status_code == 400


def test_marks_cost_a_list_no_query(operator: Client, account: Account) -> None:
    user = me(operator)

    def add_rows() -> None:
        for number in range(8):
            TeamMark.change(store(account, letter(f"Mail {number}")), user, assigned_to=user, note="look")

    add_rows()
    for url in ("/messages/", "/messages/?by=conversation", "/messages/search/?q=Mail"):
        before, after = queries_of(operator, url, add_rows)
        assert before == after <= 12
