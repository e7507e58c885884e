"""Folders besides INBOX: STATUS on the connection that waits in IDLE tells of their news, and polling becomes rare."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from mailbox.accounts.health import push_words
from mailbox.imap.idle import FolderNumbers
from mailbox.models import Account, Folder, Lease, PushHeartbeat, SyncRun, SyncState
from mailbox.push import listener
from mailbox.scheduler.account_queue import next_accounts
from mailbox.sync import folder_sync
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.push.listeners import QUICK, Heard, MakeAccount, listen
from tests.mailbox.push.test_idle_servers import idling, scripted, session_with, waited
from tests.mailbox.sync.synced import fill, mail, on_server, state_of, stored
from tests.rows import NOWHERE, folder_of
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.imap_script import ScriptedImap, Talk
from tests.servers.ports import wait_until

__all__ = ["listen", "scripted"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
OFTEN = replace(QUICK, others=0.1)


@pytest.fixture
def account(make_account: MakeAccount, dovecot: Dovecot) -> Account:
    """With INBOX and Lists, both in step with their server."""
    account = make_account()
    dovecot.create_folder(account.email, "Lists")
    dovecot.append(account.email, "Lists", mail(50))
    fill(dovecot, account, 1)
    folder_of(account), folder_of(account, "Lists")
    for _ in range(2):
        sync_tasks.sync_account(account.pk, None)
    assert stored(account) == on_server(dovecot, account, "INBOX", "Lists")
    return account


def test_mail_in_another_folder_is_heard_of_and_fetched(
    account: Account, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    heard = listen(OFTEN)
    heard.wait_for(account, "connected")
    dovecot.append(account.email, "Lists", mail(51))
    assert heard.next() == account.pk
    assert state_of(account, "Lists").news_at and not state_of(account).news_at
    sync_tasks.sync_pushed(account.pk)
    assert stored(account) == on_server(dovecot, account, "INBOX", "Lists")
    assert not state_of(account, "Lists").news_at
    dovecot.append(account.email, "INBOX", mail(7))  # the IDLE goes on beside it
    assert heard.next() == account.pk
    assert state_of(account).news_at and heard.nothing()


def test_a_flag_and_an_expunge_in_another_folder_are_news_too_and_each_is_told_once(
    account: Account, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    ((uid, _),) = dovecot.messages(account.email, "Lists").items()
    heard = listen(OFTEN)
    heard.wait_for(account, "connected")
    dovecot.store(account.email, "Lists", str(uid), "\\Seen")
    assert heard.next() == account.pk
    dovecot.expunge(account.email, "Lists", str(uid))
    assert heard.next() == account.pk
    dovecot.append(account.email, "INBOX", mail(7))
    assert heard.next() == account.pk and heard.nothing()


def test_what_came_to_another_folder_while_nobody_listened_is_heard_of_on_connecting(
    account: Account, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    dovecot.append(account.email, "Lists", mail(51))
    assert listen(replace(QUICK, others=3600)).next() == account.pk
    assert state_of(account, "Lists").news_at and not state_of(account).news_at


def test_on_gmail_what_comes_to_inbox_is_news_of_all_mail(
    make_account: MakeAccount, scripted: ScriptedImap, certificates: Certificates, listen: Callable[..., Heard],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its INBOX is a label and not synced; the server tells of its news all the same."""
    monkeypatch.setattr(listener, "other_folders", lambda _: {})  # only IDLE tells here
    where = {"imap_host": "localhost", "imap_port": scripted.port, "smtp_host": "localhost", "smtp_port": 1}
    account, now = make_account(**where, ca_certificate=certificates.ca_pem), timezone.now()
    Folder.objects.create(account=account, name="INBOX", is_label=True)
    for name, use in (("[Gmail]/All Mail", "\\All"), ("[Gmail]/Spam", "\\Junk")):
        folder = Folder.objects.create(account=account, name=name, special_use=use, sync_enabled=True)
        SyncState.objects.create(account=account, folder=folder, last_success_at=now)
    idling(scripted, b"* 5 EXISTS")
    heard = listen()
    assert heard.next() == account.pk
    told = SyncState.objects.filter(news_at__isnull=False).values_list("folder__name", flat=True)
    assert list(told) == ["[Gmail]/All Mail"]
    chosen = list(Folder.objects.chosen())
    wait_until(
        lambda: push_words(account, chosen, list(PushHeartbeat.objects.all())).startswith("connected"),
        seconds=15,
        what="the account to be said to be connected",
    )
    Folder.objects.filter(special_use="\\All").update(sync_enabled=False)
    heard.wait_for(account, None)


# --- The net --------------------------------------------------------------------------------------------------------
def test_an_account_that_is_listened_to_is_looked_at_every_ten_minutes_and_any_other_each_minute(
    account: Account, listen: Callable[..., Heard]
) -> None:
    heard = listen(OFTEN)
    heard.wait_for(account, "connected")
    row = PushHeartbeat.objects.get()
    heard.listener.stop()
    now = min(each.last_success_at for each in SyncState.objects.all() if each.last_success_at)

    def looked_at(after: timedelta, **states: str) -> bool:
        at = now + after
        values = {"token": "t", "seen_at": at, "states": states or {str(account.pk): "connected"}}
        PushHeartbeat.objects.update_or_create(pk=1, defaults={**values, "pid": row.pid, "started_at": now})
        return next_accounts(at, at) == [account.pk]

    minutes = [minute for minute in range(1, 31) if looked_at(timedelta(minutes=minute, seconds=1))]
    assert minutes == list(range(10, 31)) and settings.SYNC_PUSHED_SECONDS == 600
    assert looked_at(timedelta(minutes=1), **{str(account.pk): "waiting"})
    assert not looked_at(timedelta(minutes=1))
    PushHeartbeat.objects.update(seen_at=now - timedelta(minutes=1))
    assert next_accounts(now + timedelta(minutes=1), now + timedelta(minutes=1)) == [account.pk]


def test_when_the_process_that_listens_was_killed_the_accounts_are_looked_at_within_a_minute(
    make_account: MakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, now, queued = make_account(**NOWHERE), timezone.now(), list[timedelta]()
    SyncState.objects.create(account=account, folder=folder_of(account), last_attempt_at=now, last_success_at=now)
    PushHeartbeat.objects.create(
        pk=1, token="t", host="h", pid=1, started_at=now, seen_at=now, states={str(account.pk): "connected"}
    )
    for begin in (timedelta(seconds=1), timedelta(seconds=29)):  # of the heartbeats of a cluster, each half minute
        for after in (begin + number * timedelta(seconds=30) for number in range(5)):
            monkeypatch.setattr(sync_tasks, "queue", lambda *_, after=after, **__: queued.append(after))
            sync_tasks._take_over_from_dead_processes(now + after)
        assert queued == [begin + timedelta(seconds=30)]
        assert next_accounts(now + queued.pop(), now + timedelta(seconds=1)) == [account.pk]


def test_when_the_worker_was_killed_that_had_seen_the_news_the_account_is_looked_at_within_a_minute(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, queued = timezone.now(), list[str]()
    listened_to = {str(account.pk): "connected"}
    PushHeartbeat.objects.create(pk=1, token="t", host="h", pid=1, started_at=now, seen_at=now, states=listened_to)
    SyncState.objects.filter(folder__name="INBOX").update(news_at=now)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(folder_sync, "_run", killed)
        sync_tasks.sync_pushed(account.pk)
    assert next_accounts(now, now) == []  # nobody knows of the news any more
    ended = now - timedelta(seconds=1)
    Lease.objects.update_or_create(
        account=account, purpose="sync", defaults={"token": "of the killed", "holder": "h", "expires_at": ended}
    )
    monkeypatch.setattr(sync_tasks, "queue", lambda name, *_, **__: queued.append(name))
    sync_tasks._take_over_from_dead_processes(now)
    assert queued == ["mailbox.tasks.sync_tick"] and next_accounts(now, now) == [account.pk]


class Killed(BaseException):
    pass


def killed(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize(
    "state",
    [
        {"news_at": timezone.now()},
        {"more_waiting": True},
        {"last_error_code": "provider", "failure_count": 1},
        {"last_success_at": None},
        {"last_success_at": timezone.now() + timedelta(days=1)},  # the clock was set back
    ],
)
def test_what_is_left_of_an_account_that_is_listened_to_does_not_wait(
    make_account: MakeAccount, state: dict[str, object]
) -> None:
    account, now = make_account(**NOWHERE), timezone.now()
    for name in ("INBOX", "Lists"):
        before = now - timedelta(minutes=1)
        SyncState.objects.create(
            account=account, folder=folder_of(account, name), last_attempt_at=before, last_success_at=before
        )
    PushHeartbeat.objects.create(
        pk=1, token="t", host="h", pid=1, started_at=now, seen_at=now, states={str(account.pk): "connected"}
    )
    assert next_accounts(now, now) == []
    sync_tasks.sync_tick()
    assert not SyncRun.objects.exists()  # nobody looked
    SyncState.objects.filter(folder__name="Lists").update(**state)
    assert next_accounts(now, now) == [account.pk]
    SyncState.objects.filter(folder__name="Lists").delete()
    assert next_accounts(now, now) == [account.pk]
    Folder.objects.filter(name="Lists").update(sync_enabled=False)
    assert next_accounts(now, now) == []


# --- Servers that misbehave -----------------------------------------------------------------------------------------
def test_a_folder_of_which_the_server_does_not_tell_is_known_as_such_and_the_idle_goes_on(
    scripted: ScriptedImap, certificates: Certificates
) -> None:
    def answer(talk: Talk, tag: str, arguments: str) -> bool:
        if "Refused" in arguments:
            talk.say(f"{tag} NO [NOPERM] not for you")
        elif "Odd" in arguments:  # a literal, a name that looks like numbers, and news of INBOX in between
            talk.send(b"* STATUS {13}\r\n(UIDNEXT 9) x (MESSAGES 2 UIDNEXT 5 X-NEW (1) UIDVALIDITY 3)\r\n")
            talk.say("* 5 EXISTS", "* 5 FETCH (FLAGS (\\Seen))", f"{tag} OK done")
        elif "Half" in arguments:
            talk.say("* STATUS x (UIDVALIDITY 3 MESSAGES 2)", f"{tag} OK done")
        else:
            talk.say("* STATUS x (UIDVALIDITY 3 messages 2 UIDNEXT 5)", f"{tag} OK done")
        return True

    idling(scripted)
    scripted.faults["STATUS"] = answer
    scripted.faults["DONE"] = lambda talk, *_: True
    session = session_with(scripted, certificates)
    found = asyncio.run(session.statuses(["Refused", "Half", "Odd", "Plain", "a\r\nx LOGOUT"]))
    assert found["Refused"] is None and found["Half"] is None
    assert scripted.seen.count("STATUS") == 5 and "LOGOUT" not in scripted.seen
    assert found["Plain"] == found["Odd"] == FolderNumbers(uidvalidity=3, uidnext=5, exists=2)
    assert waited(session, 5) is True
    session.close()


KNOWN = FolderNumbers(3, 5, 2, 7)


@pytest.mark.parametrize(
    ("told", "known", "is_news"),
    [
        (KNOWN, KNOWN, False),
        (replace(KNOWN, highestmodseq=None), KNOWN, False),
        (KNOWN, replace(KNOWN, highestmodseq=None), False),
        (replace(KNOWN, highestmodseq=8), KNOWN, True),
        (replace(KNOWN, exists=1), KNOWN, True),
        (replace(KNOWN, uidnext=6), KNOWN, True),
        (replace(KNOWN, uidnext=None), KNOWN, True),
        (replace(KNOWN, uidvalidity=4), KNOWN, True),
        (KNOWN, FolderNumbers(), True),
    ],
)
def test_in_doubt_it_is_news(told: FolderNumbers, known: FolderNumbers, is_news: bool) -> None:
    assert told.is_news_to(known) is is_news
