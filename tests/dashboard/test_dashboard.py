"""The dashboard: what needs a person stands first with its button; counts, workers."""

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

from mailbox.models import (
    Account,
    AccountGrant,
    Counter,
    PushHeartbeat,
    Quarantine,
    SyncRun,
    SyncRunFolder,
    SyncState,
    WorkerHeartbeat,
)
from outbox.models import SendingSwitch
from tests.dashboard.board import account, board, needs, workers_alive
from tests.rows import NOWHERE, attempt, folder_of, outbox_row, queries_of

pytestmark = pytest.mark.django_db

__all__ = ["account"]


def test_the_first_run_offers_to_add_an_account(administrator: Client) -> None:
    page = board(administrator)
    assert reverse("mailbox:account_add") in page
    assert "Needs you" not in page


def test_accounts_in_trouble_stand_first_in_the_panel(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    workers_alive()
    paused, broken = (make_account(f"{name}@example.net", **NOWHERE) for name in ("y", "z"))
    Account.objects.filter(pk=paused.pk).update(sync_enabled=False)
    broken.imap.needs_sign_in_since = timezone.now()
    broken.imap.save()
    rows = administrator.get(reverse("dashboard")).context["rows"]
    assert [row.account.email for row in rows] == [broken.email, paused.email, account.email]


def test_a_viewer_without_accounts_is_told_whom_to_ask(client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user(""))
    page = board(client)
    assert "An administrator adds accounts" in page
    assert reverse("mailbox:account_add") not in page


def test_when_all_is_well_it_says_so(administrator: Client, account: Account) -> None:
    workers_alive()
    assert "Nothing needs you." in needs(board(administrator))


def test_without_workers_the_first_line_says_that_nothing_moves(administrator: Client, account: Account) -> None:
    workers_alive(timezone.now() - timedelta(minutes=10))
    SyncState.objects.update(last_success_at=timezone.now() - timedelta(hours=2))
    part = needs(board(administrator))
    assert "No worker is running" in part
    assert "10 min ago" in part
    assert "behind" not in part, "that everything is late too is said once"


def test_a_refused_sign_in_stands_beside_the_button_that_mends_it(administrator: Client, account: Account) -> None:
    workers_alive()
    account.smtp.mark_needs_sign_in("535 5.7.8 no", timezone.now())
    part = needs(board(administrator))
    assert "ops@example.com: SMTP needs sign-in" in part
    assert "535 5.7.8 no" in part
    assert reverse("mailbox:account_sign_in", args=[account.pk, "smtp"]) in part


def test_uncertain_and_refused_sends_are_counted_with_their_codes(administrator: Client, account: Account) -> None:
    workers_alive()
    for _ in range(2):
        outbox_row(account, status="failed", hold="uncertain")
    for code in (550, 550, 552):
        attempt(outbox_row(account, status="failed", hold="permanent"), reply_code=code)
    outbox_row(account, status="failed", hold="gave_up")
    part = needs(board(administrator))
    assert "2 sends may or may not have gone out" in part
    assert "3 sends were refused for good" in part
    assert "2 with 550, 1 with 552" in part
    assert "1 send was given up" in part


def test_a_late_folder_and_quarantined_mail_are_needs_too(administrator: Client, account: Account) -> None:
    workers_alive()
    SyncState.objects.update(last_success_at=timezone.now() - timedelta(hours=3))
    Quarantine.objects.create(account=account, folder=folder_of(account), uidvalidity=1, uid=1, error="broken")
    part = needs(board(administrator))
    assert "ops@example.com: behind" in part
    assert reverse("mailbox:account_sync", args=[account.pk]) in part
    assert "1 message could not be fetched or read" in part


def test_paused_sending_is_resumed_from_here(administrator: Client, account: Account) -> None:
    workers_alive()
    Account.objects.update(sending_paused_at=timezone.now())
    switch = SendingSwitch.current()
    switch.paused_at, switch.reason = timezone.now(), "a restore"
    switch.save()
    page = board(administrator)
    assert "All sending is paused" in needs(page)
    assert "a restore" in needs(page)
    assert reverse("mailbox:account_resume", args=[account.pk]) in needs(page)
    assert 'class="banner"' not in page, "it is not said twice on one page"


def test_who_may_not_press_a_button_gets_a_way_to_look(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    account.imap.mark_needs_sign_in("no", timezone.now())
    client.force_login(make_user("viewer"))
    page = board(client)
    assert reverse("mailbox:account_sign_in", args=[account.pk, "imap"]) not in page
    assert "<form" not in page.split("<main")[1]


def test_other_accounts_do_not_show_through(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    hidden = make_account("hidden@example.com", **NOWHERE)
    outbox_row(hidden, status="failed", hold="uncertain")
    Counter.add(hidden.pk, "messages_received", timezone.now(), 7719)
    Quarantine.objects.create(account=hidden, folder=folder_of(hidden), uidvalidity=1, uid=1, error="broken")
    SyncRunFolder.objects.create(run=SyncRun.objects.create(), account=hidden, folder_name="INBOX", ok=True)
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="administrator")
    client.force_login(user)
    page = board(client) + client.get(reverse("charts")).content.decode()
    for words in ("hidden@example.com", "may or may not", "could not be fetched", "7719"):
        assert words not in page


def test_it_updates_itself_by_one_fragment(administrator: Client, account: Account) -> None:
    assert 'hx-trigger="every 5s"' in board(administrator)
    part = administrator.get(reverse("dashboard"), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "Last runs" in part


def test_a_session_that_ended_reloads_the_page_instead_of_filling_it_with_a_sign_in(client: Client) -> None:
    response = client.get(reverse("dashboard"), headers={"HX-Request": "true"})
    assert response.headers["HX-Refresh"] == "true"
    assert response.content == b""


def test_the_outbox_is_counted_by_state_with_its_oldest(administrator: Client, account: Account) -> None:
    for _ in range(3):
        outbox_row(account, status="pending")
    outbox_row(account, status="failed")
    part = board(administrator).split('aria-labelledby="board-outbox"')[1].split("</section>")[0]
    counts = [line.split("<")[0] for line in part.split('class="number lead">')[1:]]
    assert counts == ["3", "0", "1", "0", "0"]
    assert part.count("oldest") == 2


def test_its_queries_do_not_grow_with_its_rows(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    def rows(count: int) -> None:
        for number in range(count):
            other = make_account(None, **NOWHERE)
            state = SyncState.objects.create(account=other, folder=folder_of(other), failure_count=1)
            attempt(outbox_row(other, status="failed", hold="permanent"), reply_code=550)
            Counter.add(other.pk, "sends", timezone.now() - timedelta(hours=number))
            run = SyncRun.objects.create()
            SyncRunFolder.objects.create(run=run, account=other, folder=state.folder, folder_name="INBOX", ok=True)

    rows(1)
    before, after = queries_of(administrator, reverse("dashboard"), lambda: rows(20))
    assert after == before
    assert after <= 16


def test_a_push_process_that_is_gone_is_missed_where_an_account_wants_it(
    administrator: Client, account: Account, settings: Any
) -> None:
    workers_alive()
    assert "Push is not running" not in needs(board(administrator))
    assert "0 of 0 inboxes connected" in board(administrator)
    PushHeartbeat.objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    assert "Push is not running: new mail comes later" in needs(board(administrator))
    assert "manage.py idle" in needs(board(administrator))
    settings.PUSH_ENABLED = False
    assert "Push is not running" not in needs(board(administrator))
    settings.PUSH_ENABLED = True
    Account.objects.update(push_enabled=False)
    assert "Push is not running" not in needs(board(administrator))


def test_a_host_whose_workers_are_gone_needs_a_person_while_others_work_on(
    administrator: Client, account: Account
) -> None:
    workers_alive()
    now = timezone.now()
    gone = WorkerHeartbeat.objects.create(
        host="web2", cluster_pid=2, started_at=now, seen_at=now - timedelta(seconds=95), disk_free_percent=0
    )
    assert "The workers of web2 are gone; others work on" in board(administrator)
    gone.seen_at = now
    gone.save()
    page = board(administrator)
    assert "The workers of web2 are gone" not in page
    assert "The disk of web2 is nearly full" in page


@pytest.mark.parametrize("of_all", [True, False])
def test_the_button_beside_a_pause_ends_it(administrator: Client, account: Account, of_all: bool) -> None:
    if of_all:
        SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": timezone.now()})
    else:
        Account.objects.update(sending_paused_at=timezone.now())
    form = re.search(r'<form[^>]*action="([^"]*resume/)">(.*?)</form>', needs(board(administrator)), re.S)
    assert form
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[2]))
    assert administrator.post(form[1], fields).status_code == 302
    assert not SendingSwitch.objects.filter(paused_at__isnull=False).exists()
    assert not Account.objects.filter(sending_paused_at__isnull=False).exists()
