"""Batches are fetched while others are read and written: wherever that breaks, what is stored is one piece."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError

from mailbox.messages import store
from mailbox.models import Account, Folder, Message, Quarantine, SyncState
from mailbox.scheduler import account_queue, runner
from mailbox.sync import folder_sync
from mailbox.sync.poison import BREAKS_CONNECTION
from mailbox.sync.prefetch import BATCH_COUNT, META_COUNT
from tests.mailbox.sync.synced import mail
from tests.mailbox.sync.test_sync_faults import account, breaking_on, drop, uids_stored
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap, Talk

pytestmark = [pytest.mark.django_db, pytest.mark.wire]
COUNT = META_COUNT + 50
__all__ = ["account"]


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in range(1, COUNT + 1)}).start()
    yield server
    server.stop()


def the_newest(count: int) -> list[int]:
    return list(range(COUNT - count + 1, COUNT + 1))


def at_the(number: int, fault: Callable[..., bool]) -> Callable[[Talk, str, str], bool]:
    """The fault, at the nth such command only."""
    seen: list[str] = []

    def faulty(talk: Talk, tag: str, arguments: str) -> bool:
        seen.append(tag)
        return len(seen) == number and fault(talk, tag, arguments)

    return faulty


def is_one_piece() -> bool:
    """What is stored is what the cursors say, and it reaches up to the newest."""
    state = SyncState.objects.get()
    uids = uids_stored(state.account)
    return (state.backfill_cursor, state.cursor) == (uids[0], COUNT) and uids == list(range(uids[0], COUNT + 1))


@pytest.mark.parametrize("step", ["BODY", "META"])
@pytest.mark.in_part(2)
def test_what_came_before_the_connection_broke_is_kept_in_one_piece(
    account: Account, server: ScriptedImap, step: str
) -> None:
    server.faults[step] = at_the(2, drop)
    outcome = folder_sync.sync(account.pk, max_messages=COUNT)
    assert (outcome.ok, outcome.error_code) == (False, "network")
    assert uids_stored(account) == the_newest(outcome.fetched)
    assert outcome.fetched == (BATCH_COUNT if step == "BODY" else META_COUNT)
    assert is_one_piece()
    assert folder_sync.sync(account.pk, max_messages=COUNT).ok
    assert uids_stored(account) == the_newest(COUNT)
    assert SyncState.objects.get().begun == {}


@pytest.mark.long
def test_a_mail_deep_in_the_folder_that_breaks_the_connection_is_put_aside(
    account: Account, server: ScriptedImap
) -> None:
    poison = COUNT - BATCH_COUNT - 10
    breaking_on(server, poison)
    while not folder_sync.sync(account.pk, max_messages=COUNT).ok:
        assert is_one_piece()
    assert uids_stored(account) == [uid for uid in the_newest(COUNT) if uid != poison]
    aside = Quarantine.objects.get()
    assert aside.uid == poison and aside.error.startswith(f"{BREAKS_CONNECTION} The last time: ")
    assert SyncState.objects.get().begun == {}


def test_a_disk_that_fills_up_leaves_one_piece_and_blames_no_mail(
    account: Account, server: ScriptedImap, settings: Any
) -> None:
    full = {
        "BACKEND": "mailbox.storage.durable_files.DurableFileSystemStorage",
        "OPTIONS": {"location": "/dev/full/raw"},
    }
    right = settings.STORAGES

    def fill_up(talk: Talk, tag: str, arguments: str) -> bool:
        settings.STORAGES = {**right, "raw": full}
        return False

    server.faults["BODY"] = at_the(3, fill_up)
    outcome = folder_sync.sync(account.pk, max_messages=COUNT)
    assert (outcome.ok, outcome.error_code) == (False, "storage")
    assert (Quarantine.objects.count(), SyncState.objects.get().begun) == (0, {})
    assert uids_stored(account) == the_newest(outcome.fetched)
    settings.STORAGES = right
    assert folder_sync.sync(account.pk, max_messages=COUNT).ok
    assert uids_stored(account) == the_newest(COUNT)


def test_a_batch_the_database_refuses_stops_what_was_fetched_behind_it(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a later batch written, the stretch would reach over the gap, and the gap never be fetched."""

    write, calls = store.write, list[int]()

    def locked(*arguments: Any) -> store.Stored:
        calls.append(1)
        if len(calls) == 2:
            raise OperationalError("database is locked")
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", locked)
        outcome = folder_sync.sync(account.pk, max_messages=COUNT)
    assert (outcome.error_code, outcome.fetched, len(calls)) == ("storage", BATCH_COUNT, 2)
    assert is_one_piece()
    assert folder_sync.sync(account.pk, max_messages=COUNT).ok
    assert uids_stored(account) == the_newest(COUNT)


def test_a_folder_alone_is_fetched_on_one_beginning_and_few_commands(account: Account, server: ScriptedImap) -> None:
    Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    run = runner.run_sync([account_queue.SyncJob(account.pk, "INBOX", 100)], 50)
    line = run.folders.get()
    assert (line.ok, line.fetched) == (True, COUNT)
    assert Message.objects.count() == COUNT
    assert server.seen.count("EXAMINE") <= 2
    assert server.seen.count("META") <= 3  # the last of them asks for flags
    assert server.seen.count("BODY") <= 5
