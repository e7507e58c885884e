"""A real worker process killed at an exact instant, a server stopped in the middle, a mailbox changing under a run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from mailbox.imap.fetch import FetchedMessage, MessageMeta
from mailbox.imap.session import ImapSession
from mailbox.models import Account, Lease, Message, MessagePlace, Quarantine, RawMessage, SyncState
from mailbox.storage import raw_store
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import fill, mail, on_server, stored
from tests.servers.dovecot import Dovecot
from tests.servers.forked import Forked

pytestmark = pytest.mark.django_db(transaction=True)
WORKER = """
import django, os, signal, sys
django.setup()
from mailbox.sync import folder_run
from mailbox.parsing import pool
from mailbox.messages import places
from mailbox.storage import raw_store as rawstore
from mailbox.messages import store
from mailbox.sync import folder_sync as sync
step = {step}
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def stop(*args, **kwargs):
    {condition}die()
    answer = step(*args, **kwargs)
    {is_after} and die()
    return answer
{step} = stop
sync.sync(int(sys.argv[1]), max_messages=4)
"""
STAGES = {
    "before the bytes are stored": "rawstore._write_segment:before",
    "after the bytes, before their index": "rawstore._index:before",
    "after the raw save": "rawstore.save_batch:after",
    "with half of the rows written": "store._write_places:before",
    "before the commit": "folder_run.FolderRun._announce:after",
    "after the commit": "folder_run.FolderRun.commit:after",
    "before the end": "sync._save:before",
}


def kill_worker(account: Account, stage: str) -> None:
    """Run a worker on the account until it kills itself at this stage."""
    step, _, when = STAGES.get(stage, "pool.read:poison").partition(":")
    is_poison = "any(b'Mail 2' in order.raw for order in args[0])"
    condition = {"before": "", "after": "False and ", "poison": f"{is_poison} and "}[when]
    code = WORKER.format(step=step, condition=condition, is_after=when == "after")
    assert Forked(code, account.pk).wait(120) == -signal.SIGKILL


def let_the_lease_lapse(account: Account) -> None:
    assert folder_sync.sync(account.pk).error_code == "busy"
    Lease.objects.filter(account=account).update(expires_at=timezone.now() - timedelta(seconds=1))


def every_row_has_its_bytes() -> bool:
    digests = Message.objects.values_list("raw_digest", flat=True)
    return all(raw_store.digest_of(raw_store.open_raw(digest)) == digest for digest in digests)


def sync_to_the_end(account: Account) -> None:
    while folder_sync.sync(account.pk, max_messages=4).more_waiting:
        pass


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.in_part(3)
def test_a_worker_killed_in_any_stage_of_a_batch_loses_and_doubles_nothing(
    make_account: Callable[..., Account], dovecot: Dovecot, stage: str
) -> None:
    account = make_account()
    fill(dovecot, account, 9)
    kill_worker(account, stage)
    assert every_row_has_its_bytes()
    assert stored(account) <= on_server(dovecot, account)
    let_the_lease_lapse(account)
    sync_to_the_end(account)
    assert stored(account) == on_server(dovecot, account)
    assert (Message.objects.count(), every_row_has_its_bytes()) == (9, True)
    assert RawMessage.objects.count() == 9


def test_a_mail_that_kills_its_worker_each_time_is_put_aside(
    make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = make_account()
    fill(dovecot, account, 2)
    for _ in range(5):
        kill_worker(account, "when it is handed to a parser")
        Lease.objects.all().delete()
    assert folder_sync.sync(account.pk).ok
    assert {uid for _, uid, _ in stored(account)} == {1}
    assert Quarantine.objects.open().get().uid == 2


def test_a_server_killed_in_the_middle_of_a_run(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 6)
    meta = ImapSession.fetch_meta

    def stopping(self: ImapSession, uids: list[int]) -> dict[int, MessageMeta]:
        metas = meta(self, uids)
        dovecot.kill()
        return metas

    with monkeypatch.context() as patch:
        patch.setattr(ImapSession, "fetch_meta", stopping)
        outcome = folder_sync.sync(account.pk)
    assert not outcome.ok
    dovecot.start()
    sync_to_the_end(account)
    assert stored(account) == on_server(dovecot, account)


def test_a_database_locked_by_another_is_waited_for_and_then_told(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL locks rows, not the database")
    account = make_account()
    fill(dovecot, account, 3)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(connection.settings_dict["NAME"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    messages = ImapSession.fetch_messages

    def locking(self: ImapSession, metas: list[MessageMeta]) -> list[FetchedMessage]:
        fetched = list(messages(self, metas))
        assert holder.stdin and holder.stdout
        holder.stdin.write(b"lock\n")
        holder.stdin.flush()
        holder.stdout.readline()
        return fetched

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 100")
    with monkeypatch.context() as patch:
        patch.setattr(ImapSession, "fetch_messages", locking)
        with pytest.raises(Exception, match="locked"):
            outcome = folder_sync.sync(account.pk)
            raise RuntimeError(outcome.error)
    holder.kill()
    holder.wait()
    Lease.objects.all().delete()
    assert stored(account) == set()
    assert folder_sync.sync(account.pk).ok
    assert stored(account) == on_server(dovecot, account)


HOLD_LOCK = """
import sqlite3, sys
sys.stdin.readline()
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("moment", ["examine", "search_uids", "fetch_meta"])
@pytest.mark.in_part(3)
def test_a_mailbox_that_changes_while_it_is_read(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    account = make_account()
    fill(dovecot, account, 6)
    folder_sync.sync(account.pk, max_messages=2)
    step = getattr(ImapSession, moment)
    done: list[bool] = []

    def changing(self: ImapSession, *arguments: Any) -> Any:
        answer = step(self, *arguments)
        if not done:
            done.append(True)
            dovecot.expunge(account.email, "INBOX", "3,6")
            dovecot.store(account.email, "INBOX", "2,5", "\\Seen")
            dovecot.append(account.email, "INBOX", mail(7))
        return answer

    monkeypatch.setattr(ImapSession, moment, changing)
    for _ in range(4):
        assert folder_sync.sync(account.pk, max_messages=3).ok
    assert done
    assert stored(account) == on_server(dovecot, account)
    flags = dovecot.flags(account.email)
    rows = MessagePlace.objects.present().values_list("uid", "seen")
    assert dict(rows) == {uid: "\\Seen" in each for uid, each in flags.items()}


def test_a_worker_that_wakes_after_its_lease_lapsed_writes_nothing_more(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 4)
    save = raw_store.save_batch
    done: list[bool] = []

    def slow(raws: list[bytes], **options: Any) -> list[str]:
        digests = save(raws, **options)
        if not done:
            done.append(True)
            Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
            assert folder_sync.sync(account.pk).fetched == 4  # another worker, all of it, meanwhile
            MessagePlace.objects.filter(uid=1).update(keywords=["theirs"])
        return digests

    monkeypatch.setattr(raw_store, "save_batch", slow)
    assert folder_sync.sync(account.pk).error_code == "busy"
    assert MessagePlace.objects.get(uid=1).keywords == ["theirs"]
    assert stored(account) == on_server(dovecot, account)
    assert SyncState.objects.get().cursor == 4


def test_a_token_that_expires_between_runs_asks_for_sign_in_and_loses_nothing(
    make_account: Callable[..., Account], dovecot: Dovecot, mail_user: str
) -> None:
    account = make_account(mail_user, imap_password=None, imap_oauth_token=dovecot.token(mail_user))
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk, max_messages=2)
    account.imap.oauth_token = dovecot.token(mail_user, expires_in=-60)
    account.imap.save()
    assert folder_sync.sync(account.pk).error_code == "sign_in"
    account.imap.oauth_token = dovecot.token(mail_user)
    account.imap.save()
    assert folder_sync.sync(account.pk).ok
    assert stored(account) == on_server(dovecot, account)


def test_a_full_disk_stores_nothing_and_what_fits_later_is_all_there(
    make_account: Callable[..., Account], dovecot: Dovecot, settings: Any, tmp_path: Any
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small]).returncode:
        pytest.skip("mounting a small disk takes root")
    settings.DISK_RESERVE_BYTES = 0  # else nothing is written to so small a disk
    right = settings.STORAGES
    raw = {"BACKEND": "mailbox.storage.durable_files.DurableFileSystemStorage", "OPTIONS": {"location": str(small)}}
    account = make_account()
    try:
        dovecot.append(account.email, "INBOX", mail(1, body="word " * 40_000))
        settings.STORAGES = {**right, "raw": raw}
        outcome = folder_sync.sync(account.pk)
        assert (outcome.error_code, Message.objects.count()) == ("storage", 0)
        assert "No space left" in outcome.error
        assert [path for path in small.rglob("*") if path.is_file()] == []
    finally:
        settings.STORAGES = right
        subprocess.run(["umount", small], check=True)
    assert folder_sync.sync(account.pk).ok
    assert stored(account) == on_server(dovecot, account)
