"""What the buttons of the outbox do, and for whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailbox.models import Account, AccountGrant, AuditEntry
from outbox.models import OutboxMessage, SendingSwitch
from tests.outbox.outbox_pages import get, in_every_state, other_account, post
from tests.rows import NOWHERE, letter_with, outbox_row

__all__ = ["other_account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_retry_lifts_a_refusal_and_a_worker_is_asked(
    operator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    row = in_every_state(account)["failed_for_good"]
    with django_capture_on_commit_callbacks(execute=True):
        assert "handed to a worker, which tries it again" in post(operator, "outbox:retry", row.pk)
    row.refresh_from_db()
    assert row.hold == ""
    assert row.next_attempt_at <= timezone.now()
    assert OrmQ.objects.count() == 1
    entry = AuditEntry.objects.get(target=f"outbox:{row.pk}")
    assert (entry.verb, entry.detail) == ("retry", "The server had refused it for good.")


def test_send_now_does_not_wait_and_is_recorded_with_who_and_why(operator: Client, account: Account) -> None:
    row = in_every_state(account)["retrying"]
    assert "handed to a worker, which sends it now" in post(operator, "outbox:send_now", row.pk)
    row.refresh_from_db()
    assert row.next_attempt_at <= timezone.now()
    entry = AuditEntry.objects.select_related("user").get(target=f"outbox:{row.pk}")
    assert entry.user and (entry.verb, entry.detail) == ("send_now", "Before its next attempt was due.")


@pytest.mark.parametrize("state", ["sent", "sending", "cancelled", "needs_decision"])
def test_what_cannot_be_retried_says_why(operator: Client, account: Account, state: str) -> None:
    row = in_every_state(account)[state]
    before = OutboxMessage.objects.filter(pk=row.pk).values().get()
    assert re.search(r"The mail (is|may have)", post(operator, "outbox:retry", row.pk))
    assert OutboxMessage.objects.filter(pk=row.pk).values().get() == before


def test_an_uncertain_mail_is_decided_by_a_person(operator: Client, account: Account) -> None:
    first, second = in_every_state(account)["needs_decision"], in_every_state(account)["needs_decision"]
    assert "marked as sent" in post(operator, "outbox:mark_as_sent", first.pk, attempt=0, confirmed=1)
    assert "with the same Message-ID" in post(operator, "outbox:send_again", second.pk, attempt=0, confirmed=1)
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.status == "sent"
    assert (second.status, second.hold, second.retries) == ("failed", "", 0)


def test_a_cancelled_mail_is_never_sent(operator: Client, account: Account) -> None:
    rows = in_every_state(account)
    assert "it is never sent" in post(operator, "outbox:cancel", rows["queued"].pk, confirmed=1)
    rows["queued"].refresh_from_db()
    assert rows["queued"].status == "cancelled"
    assert "too late to cancel" in post(operator, "outbox:cancel", rows["sent"].pk, confirmed=1)


def test_a_bulk_click_tells_honestly_what_came_of_it(operator: Client, account: Account) -> None:
    rows = in_every_state(account)
    chosen = [rows[state].pk for state in ("failed_for_good", "retrying", "needs_decision", "sent")]
    said = post(operator, "outbox:bulk", action="retry", pk=chosen)
    assert said.startswith("2 handed to a worker to be retried, 2 skipped: ")
    for reason in ("it may have gone out already and needs", "The mail is sent"):
        assert f"1 because: {reason}" in said
    assert OutboxMessage.objects.get(pk=rows["needs_decision"].pk).hold == "uncertain"
    assert post(operator, "outbox:bulk", action="send_now", pk=[rows["retrying"].pk]).startswith("1 handed to a worker")
    assert "Tick up to 500 rows first" in post(operator, "outbox:bulk", action="retry")
    assert "Nothing was changed" in post(operator, "outbox:bulk", action="explode", pk=chosen)


def test_a_bulk_click_changes_no_row_of_an_account_that_is_not_the_users_to_operate(
    client: Client,
    make_user: Callable[..., User],
    make_account: Callable[..., Account],
    account: Account,
    other_account: Account,
) -> None:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    seen, unseen = outbox_row(account), outbox_row(other_account)
    chosen = [seen.pk, unseen.pk]
    assert client.post(reverse("outbox:bulk"), {"action": "cancel", "pk": chosen}).status_code == 403
    AccountGrant.objects.create(user=user, account=make_account("third@example.com", **NOWHERE), role="operator")
    said = post(client, "outbox:bulk", action="cancel", pk=chosen, confirmed=1)
    assert said.startswith("0 cancelled, 2 skipped")
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"pending"}


def test_an_administrator_pauses_and_resumes_all_sending(client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("administrator"))
    assert "All sending is paused" in post(client, "outbox:pause_sending", reason="maintenance", confirmed=1)
    switch = SendingSwitch.objects.get()
    assert switch.paused_at is not None
    assert "maintenance" in get(client, "outbox:list")
    assert "Sending is resumed" in post(client, "outbox:resume_sending", paused_at=switch.paused_at.isoformat())
    switch.refresh_from_db()
    assert switch.paused_at is None
    assert {entry.verb for entry in AuditEntry.objects.all()} == {"pause_sending", "resume_sending"}


def test_resume_of_an_old_page_does_not_lift_the_pause_of_a_restored_database(
    client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    post(client, "outbox:pause_sending", reason="maintenance", confirmed=1)
    old_page = get(client, "outbox:list")
    shown = re.search('name="paused_at" value="([^"]+)"', old_page)
    later = timezone.now() + timedelta(minutes=1)
    SendingSwitch.objects.update(paused_at=later, reason="The database was restored.")
    assert shown and "was paused anew" in post(client, "outbox:resume_sending", paused_at=shown[1])
    assert SendingSwitch.objects.get().paused_at == later
    now_shown = re.search('name="paused_at" value="([^"]+)"', get(client, "outbox:list"))
    assert now_shown and "Sending is resumed" in post(client, "outbox:resume_sending", paused_at=now_shown[1])


def test_pausing_everything_needs_an_administrator(operator: Client) -> None:
    for name in ("outbox:pause_sending", "outbox:resume_sending"):
        assert operator.post(reverse(name)).status_code == 403
    assert "Pause all sending" not in get(operator, "outbox:list")


def test_a_form_returns_only_to_pages_of_ours(operator: Client, account: Account) -> None:
    row = outbox_row(account)
    response = operator.post(
        reverse("outbox:cancel", args=[row.pk]), {"next": "https://evil.example/", "confirmed": "1"}
    )
    assert response["Location"] == reverse("outbox:detail", args=[row.pk])


READ = ("outbox:detail", "outbox:state", "outbox:html", "outbox:eml")
CLICKS = ("outbox:retry", "outbox:send_now", "outbox:cancel", "outbox:mark_as_sent", "outbox:send_again")


def test_whoever_is_signed_out_is_sent_to_sign_in(client: Client, account: Account) -> None:
    row = outbox_row(account, raw=letter_with(b"%PDF", "a.pdf"))
    urls = [reverse(name, args=[row.pk]) for name in READ + CLICKS]
    urls += [reverse(f"outbox:{name}") for name in ("list", "changes", "bulk", "pause_sending", "resume_sending")]
    for url in [*urls, reverse("outbox:attachment", args=[row.pk, 0])]:
        for response in (client.get(url), client.post(url)):
            assert response.status_code == 302
            assert response["Location"].startswith(reverse("login"))


def test_a_row_of_an_account_the_user_may_not_see_does_not_exist_for_them(
    client: Client, make_user: Callable[..., User], account: Account, other_account: Account
) -> None:
    row = outbox_row(other_account, "not for you", raw=letter_with(b"%PDF", "a.pdf"))
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="administrator")
    client.force_login(user)
    for name in READ:
        assert client.get(reverse(name, args=[row.pk])).status_code == 404
    assert client.get(reverse("outbox:attachment", args=[row.pk, 0])).status_code == 404
    for name in CLICKS:
        assert client.post(reverse(name, args=[row.pk])).status_code == 404
    assert "not for you" not in get(client, "outbox:list")
    assert f"row-{row.pk}-" not in get(client, "outbox:changes", rows=f"{row.pk}-x")
    assert [tab.count for tab in client.get(reverse("outbox:list")).context["tabs"]][1:] == ["0"] * 7


def test_a_viewer_clicks_in_vain_and_a_link_clicks_nothing(
    client: Client, make_user: Callable[..., User], account: Account
) -> None:
    row = outbox_row(account)
    client.force_login(make_user("viewer"))
    for name in CLICKS:
        assert client.post(reverse(name, args=[row.pk])).status_code == 403
        assert client.get(reverse(name, args=[row.pk])).status_code == 405
    for name in ("outbox:bulk", "outbox:pause_sending", "outbox:resume_sending"):
        assert client.get(reverse(name)).status_code == 405
    assert client.post(reverse("outbox:list")).status_code == 405
    row.refresh_from_db()
    assert row.status == "pending"
