"""Push from a real server: a sync is queued as soon as it tells of a change, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ

from mailbox import jitter
from mailbox.accounts.sign_in_form import SignInForm
from mailbox.models import Account, Folder, Lease, PushHeartbeat, SyncRun, SyncState
from mailbox.push import listener
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.push.listeners import Heard, MakeAccount, in_step, listen
from tests.mailbox.sync.synced import fill, mail, on_server, stored
from tests.rows import folder_of
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import ROOT, environment

__all__ = ["listen"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


def test_a_sync_is_queued_when_a_new_mail_comes(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    account = make_account()
    in_step(account, dovecot)
    heard = listen()
    heard.wait_for(account, "connected")
    assert heard.nothing()
    dovecot.append(account.email, "INBOX", mail(7))
    assert heard.next() == account.pk
    assert SyncState.objects.get(account=account).news_at is not None


def test_what_was_expunged_or_read_elsewhere_is_news_too(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    account = make_account()
    uid = dovecot.append(account.email, "INBOX", mail(7))
    in_step(account, dovecot)
    heard = listen()
    heard.wait_for(account, "connected")
    dovecot.store(account.email, "INBOX", str(uid), "\\Seen")
    assert heard.next() == account.pk
    dovecot.expunge(account.email, "INBOX", str(uid))
    assert heard.next() == account.pk


def test_mail_that_came_while_nobody_listened_is_found_on_connecting(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    account = make_account()
    in_step(account, dovecot)
    dovecot.append(account.email, "INBOX", mail(7))
    assert listen().next() == account.pk


def test_a_server_that_is_killed_and_comes_back_is_listened_to_again(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    account = make_account()
    in_step(account, dovecot)
    heard = listen()
    heard.wait_for(account, "connected")
    dovecot.kill()
    heard.wait_for(account, "waiting")
    dovecot.start()
    heard.wait_for(account, "connected")
    assert heard.nothing()  # it has as many messages as before
    dovecot.append(account.email, "INBOX", mail(7))
    assert heard.next() == account.pk


def test_an_account_that_is_added_paused_deleted_or_signed_in_anew_is_noticed(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    heard = listen()
    first, second, third = make_account(), make_account(), make_account()
    for account in (first, second, third):
        in_step(account, dovecot)
    for account in (first, second, third):
        heard.wait_for(account, "connected")
    Account.objects.filter(pk=first.pk).update(sync_enabled=False)
    Account.objects.filter(pk=second.pk).update(push_enabled=False)
    third_pk = third.pk
    third.delete()
    heard.wait_for(first, None)
    heard.wait_for(second, None)
    wait_until(lambda: str(third_pk) not in heard.listener.states(), seconds=10, what="the deleted account to go")
    Account.objects.filter(pk=first.pk).update(sync_enabled=True)
    heard.wait_for(first, "connected")
    dovecot.append(first.email, "INBOX", mail(7))
    while heard.next() != first.pk:  # one was seen before it was in step
        pass


def test_a_refused_sign_in_is_said_of_the_transport_and_tried_again_with_other_credentials(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    account = make_account(imap_password="wrong")
    in_step(account, dovecot)
    heard = listen()

    def is_marked() -> bool:
        account.imap.refresh_from_db()
        return account.imap.needs_sign_in_since is not None and account.imap.last_reply != ""

    wait_until(is_marked, seconds=10, what="the mark")
    assert "AUTHENTICATIONFAILED" in account.imap.last_reply
    heard.wait_for(account, None)
    form = SignInForm({"password": MAILBOX_PASSWORD, "both": ""}, transport=account.imap, other=account.smtp)
    assert form.is_valid()
    form.save(account.pk)
    heard.wait_for(account, "connected")
    account.imap.refresh_from_db()
    assert account.imap.needs_sign_in_since is None


def test_a_database_that_is_gone_for_a_while_loses_no_news(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    in_step(account, dovecot)
    heard = listen()
    heard.wait_for(account, "connected")
    broken, failed, pass_on = threading.Event(), threading.Event(), heard.listener._pass_on

    def through_trouble(account_id: int) -> None:
        if broken.is_set():
            failed.set()
            raise OperationalError("database is locked")
        pass_on(account_id)

    monkeypatch.setattr(heard.listener, "_pass_on", through_trouble)
    broken.set()
    dovecot.append(account.email, "INBOX", mail(7))
    assert failed.wait(10)
    assert heard.nothing()
    broken.clear()
    assert heard.next() == account.pk


def test_what_the_task_of_a_push_fetches_is_the_mail(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    fill(dovecot, account, 2)
    sync_tasks.queue_pushed_sync(account.pk)
    assert OrmQ.objects.get().task["args"] == (account.pk,)
    sync_tasks.sync_pushed(account.pk)
    assert stored(account) == on_server(dovecot, account)
    assert SyncRun.objects.get().trigger == "push"
    Account.objects.filter(pk=account.pk).update(sync_enabled=False)
    sync_tasks.sync_pushed(account.pk)
    assert SyncRun.objects.count() == 1


@pytest.mark.long
def test_the_command_listens_until_it_is_told_to_stop(
    make_account: MakeAccount, dovecot: Dovecot, tmp_path: Path
) -> None:
    account = make_account()
    in_step(account, dovecot)
    log = tmp_path / "idle.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "idle"], cwd=ROOT, env=environment(), stdout=output, stderr=output
        )
    try:
        state = {str(account.pk): "connected"}
        wait_until(
            lambda: PushHeartbeat.objects.filter(states=state).exists() or process.poll() is not None,
            seconds=30,
            what="the command to connect",
        )
        assert process.poll() is None, log.read_text()
        dovecot.append(account.email, "INBOX", mail(7))
        wait_until(OrmQ.objects.exists, seconds=30, what="the task")
        assert OrmQ.objects.get().func() == "mailbox.tasks.sync_pushed"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert not PushHeartbeat.objects.alive(timezone.now()).exists() and not Lease.objects.exists()


def test_the_row_of_a_killed_process_holds_up_nobody_on_its_machine(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    account = make_account()
    in_step(account, dovecot)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    PushHeartbeat.beat("of the dead", os.uname().nodename, dead.pid, {}, timezone.now())
    Lease.acquire(account.pk, "push", "the dead", seconds=3600, now=timezone.now(), token="of the dead")
    listen().wait_for(account, "connected")


# --- Chance ---------------------------------------------------------------------------------------------------------
def test_a_wait_is_shortened_by_chance_but_never_below_what_the_server_asked_for() -> None:
    waits = [jitter.jittered(300) for _ in range(1000)]
    assert 240 <= min(waits) < 245
    assert 295 < max(waits) <= 300
    assert jitter.jittered(10, at_least=900.5) == 900.5


def test_asking_which_accounts_want_push_is_one_question(
    make_account: MakeAccount, django_assert_num_queries: Callable[..., object]
) -> None:
    where = {"imap_host": "localhost", "imap_port": 1, "smtp_host": "localhost", "smtp_port": 1}
    accounts = [make_account(**where) for _ in range(5)]
    for account in accounts:
        folder_of(account)
    Folder.objects.filter(account=accounts[4]).update(sync_enabled=False)
    with django_assert_num_queries(1):  # type: ignore[attr-defined]
        found = listener.wanted()
    assert [row.account_id for row in found] == [account.pk for account in accounts[:4]]
