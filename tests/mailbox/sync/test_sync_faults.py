"""Servers that lie, drop, trickle, flood or fall silent: what they gave is kept, and they cannot hold or fill us."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import Account, Message, MessagePlace, Quarantine, SyncState
from mailbox.sync import folder_sync
from mailbox.sync import poison as sync_poison
from mailbox.sync.poison import BREAKS_CONNECTION
from tests.mailbox.sync.synced import mail, stored
from tests.servers.certificates import Certificates
from tests.servers.imap_script import HangUp, Mail, ScriptedImap, Talk

pytestmark = [pytest.mark.django_db, pytest.mark.wire]
STEPS = ("GREETING", "LOGIN", "EXAMINE", "SEARCH", "META", "BODY")


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in range(1, 6)}).start()
    yield server
    server.stop()


@pytest.fixture
def account(make_account: Callable[..., Account], server: ScriptedImap, settings: Any) -> Account:
    settings.CONNECT_TIMEOUT_SECONDS, settings.COMMAND_TIMEOUT_SECONDS = 5, 5
    smtp = {"smtp_host": "localhost", "smtp_port": 1}
    ca_pem = server.certificates.ca_pem
    return make_account(imap_host="localhost", imap_port=server.port, ca_certificate=ca_pem, **smtp)


def uids_stored(account: Account) -> list[int]:
    return sorted(uid for _, uid, _ in stored(account))


def silent(talk: Talk, tag: str, arguments: str) -> bool:
    talk.stopped.wait(20)
    return True


def bye(talk: Talk, tag: str, arguments: str) -> bool:
    talk.say("* BYE Internal error occurred. Refer to server log for more information.")
    raise HangUp


def garbage(talk: Talk, tag: str, arguments: str) -> bool:
    talk.send(b"\x00\xff\x16\x03 {nonsense} ((\r\n* \r\n")
    raise HangUp


def drop(talk: Talk, tag: str, arguments: str) -> bool:
    raise HangUp


def half_a_line(talk: Talk, tag: str, arguments: str) -> bool:
    talk.send(b"* 1 FETCH (UID 1 FLA")
    raise HangUp


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", [silent, bye, garbage, drop, half_a_line], ids=lambda fault: fault.__name__)
@pytest.mark.in_part(3)
def test_a_fault_at_any_command_is_an_outcome_and_the_next_run_makes_up_for_it(
    account: Account, server: ScriptedImap, settings: Any, step: str, fault: Callable[..., bool]
) -> None:
    if fault is silent:
        settings.CONNECT_TIMEOUT_SECONDS, settings.COMMAND_TIMEOUT_SECONDS = 0.3, 0.3
    server.faults[step] = fault
    outcome = folder_sync.sync(account.pk)
    assert not outcome.ok
    assert outcome.error_code in ("network", "provider")
    assert (uids_stored(account), Quarantine.objects.count()) == ([], 0)
    server.faults.clear()
    settings.CONNECT_TIMEOUT_SECONDS = settings.COMMAND_TIMEOUT_SECONDS = 5
    assert folder_sync.sync(account.pk).ok
    assert uids_stored(account) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("step", ["GREETING", "SEARCH", "BODY"])
def test_a_trickle_does_not_hold_a_worker(account: Account, server: ScriptedImap, settings: Any, step: str) -> None:
    settings.CONNECT_TIMEOUT_SECONDS = settings.COMMAND_TIMEOUT_SECONDS = 0.5

    def trickle(talk: Talk, tag: str, arguments: str) -> bool:
        while not talk.stopped.wait(0.1):
            talk.send(b"*")
        return True

    server.faults[step] = trickle
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "network")


def test_a_literal_larger_than_anything_asked_for_is_not_read(account: Account, server: ScriptedImap) -> None:
    def huge(talk: Talk, tag: str, arguments: str) -> bool:
        talk.send(b"* 1 FETCH (UID 5 BODY[] {1099511627776}\r\n")
        talk.stopped.wait(5)
        return True

    server.faults["BODY"] = huge
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "network")
    assert "announces 1099511627776 bytes" in outcome.error


@pytest.mark.parametrize("piece", [b"* 1 EXISTS\r\n" * 5000, b"x" * 60_000], ids=["answers", "a line"])
def test_a_stream_without_end_is_cut(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr("mailbox.imap.transport.SLACK_BYTES", 1_000_000)

    def flood(talk: Talk, tag: str, arguments: str) -> bool:
        while not talk.stopped.is_set():
            talk.send(piece)
        return True

    server.faults["META"] = flood
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "network")
    assert "without end" in outcome.error


def breaking_on(server: ScriptedImap, poison: int, fault: Callable[..., bool] = bye) -> None:
    def body(talk: Talk, tag: str, arguments: str) -> bool:
        wanted = server.chosen(arguments.split(" ")[0])
        if poison not in wanted:
            return False
        server.say_bodies(talk, [uid for uid in wanted if uid < poison])
        return fault(talk, tag, arguments)

    server.faults["BODY"] = body


@pytest.mark.parametrize("fault", [bye, drop, garbage], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("poison", [1, 3, 5])
@pytest.mark.in_part(2)
def test_a_mail_that_breaks_the_connection_each_time_is_put_aside_and_the_rest_comes(
    account: Account, server: ScriptedImap, poison: int, fault: Callable[..., bool]
) -> None:
    breaking_on(server, poison, fault)
    runs = [folder_sync.sync(account.pk).ok for _ in range(6)]
    assert runs[-1]
    assert uids_stored(account) == [uid for uid in range(1, 6) if uid != poison]
    aside = Quarantine.objects.open().get()
    assert aside.uid == poison and aside.error.startswith(f"{BREAKS_CONNECTION} The last time: ")
    assert SyncState.objects.get().begun == {}


def test_new_mail_each_time_does_not_hide_a_mail_that_breaks_the_connection(
    account: Account, server: ScriptedImap
) -> None:
    folder_sync.sync(account.pk, max_messages=2)
    breaking_on(server, 2)
    for number in range(8):
        server.mails[6 + number] = Mail(mail(6 + number))
        folder_sync.sync(account.pk)
    assert uids_stored(account) == [uid for uid in range(1, 14) if uid != 2]
    assert Quarantine.objects.open().get().uid == 2


def test_a_server_that_breaks_on_every_mail_puts_none_aside(account: Account, server: ScriptedImap) -> None:
    server.faults["BODY"] = drop
    for _ in range(9):
        assert not folder_sync.sync(account.pk).ok
    assert not Quarantine.objects.exists()
    server.faults.clear()
    while not folder_sync.sync(account.pk).ok:
        pass
    assert uids_stored(account) == [1, 2, 3, 4, 5]


def test_a_mail_asked_for_again_that_breaks_the_connection_gives_way_after_two_attempts(
    account: Account, server: ScriptedImap
) -> None:
    breaking_on(server, 3)
    for _ in range(6):
        folder_sync.sync(account.pk)
    Quarantine.objects.update(fetch_requested_at=timezone.now())
    server.mails[6] = Mail(mail(6))
    assert [folder_sync.sync(account.pk).ok for _ in range(sync_poison.MOST_ATTEMPTS_ASKED + 1)] == [False, False, True]
    assert 6 in uids_stored(account)
    assert not Quarantine.objects.wanted().exists()
    server.faults.clear()
    Quarantine.objects.update(fetch_requested_at=timezone.now())
    assert folder_sync.sync(account.pk).ok
    assert uids_stored(account) == [1, 2, 3, 4, 5, 6]


def test_a_size_that_is_a_lie_is_no_loss(account: Account, server: ScriptedImap) -> None:
    server.mails[2].stated_size, server.mails[4].stated_size = 0, 10_000_000
    assert folder_sync.sync(account.pk).ok
    assert uids_stored(account) == [1, 2, 3, 4, 5]


def test_fetch_items_in_another_order_in_pieces_or_missing(account: Account, server: ScriptedImap) -> None:
    def odd(talk: Talk, tag: str, arguments: str) -> bool:
        date = server.mails[1].date
        talk.say("* 9 FETCH (FLAGS (\\Seen))")  # another client's change, by sequence number: it names no UID
        talk.say(f"* 1 FETCH (rfc822.size 5 internaldate {date} flags (\\Flagged) uid 1)")
        talk.say(f"* 2 FETCH (UID 2 INTERNALDATE {date})", "* 2 FETCH (UID 2 FLAGS (\\Seen))")
        talk.say("* 3 FETCH (UID 3 FLAGS () RFC822.SIZE 7)")
        talk.say(f"* 5 FETCH (UID 5 INTERNALDATE {date} RFC822.SIZE 7)", f"{tag} OK done")
        return True

    server.faults["META"] = odd
    assert folder_sync.sync(account.pk).ok
    assert uids_stored(account) == [1, 2, 3, 5]
    assert set(Quarantine.objects.values_list("uid", flat=True)) == {4}
    rows = MessagePlace.objects.order_by("uid").values_list("uid", "seen", "flagged")
    assert list(rows) == [(1, False, True), (2, True, False), (3, False, False), (5, False, False)]


def test_bodies_in_another_order_are_kept_apart(account: Account, server: ScriptedImap) -> None:
    def reversed_bodies(talk: Talk, tag: str, arguments: str) -> bool:
        server.say_bodies(talk, reversed(server.chosen(arguments.split(" ")[0])))
        talk.say(f"{tag} OK done")
        return True

    server.faults["BODY"] = reversed_bodies
    folder_sync.sync(account.pk)
    subjects = MessagePlace.objects.order_by("uid").values_list("message__subject", flat=True)
    assert list(subjects) == [f"Mail {uid}" for uid in range(1, 6)]


@pytest.mark.parametrize("uidnext", [None, 1, 3])
def test_a_uidnext_that_is_missing_or_fell_hides_nothing(
    account: Account, server: ScriptedImap, uidnext: int | None
) -> None:
    server.uidnext = uidnext
    for _ in range(3):
        assert folder_sync.sync(account.pk, max_messages=2).ok
    for arrived in (9, 10):
        server.mails[arrived] = Mail(mail(arrived))
        folder_sync.sync(account.pk)
    folder_sync.sync(account.pk)
    assert uids_stored(account) == [1, 2, 3, 4, 5, 9, 10]
    assert (SyncState.objects.get().backfill_cursor, SyncState.objects.get().cursor) == (1, 10)


def test_a_uidvalidity_that_changes_in_every_run_loses_nothing(account: Account, server: ScriptedImap) -> None:
    for uidvalidity in (1, 7, 3, 9):
        server.uidvalidity = uidvalidity
        assert folder_sync.sync(account.pk).ok
    assert uids_stored(account) == [1, 2, 3, 4, 5]
    assert Message.objects.visible().count() == 5


FULL = {"BACKEND": "mailbox.storage.durable_files.DurableFileSystemStorage", "OPTIONS": {"location": "/dev/full/raw"}}
NOBODY = {"bucket_name": "mail", "endpoint_url": "http://127.0.0.1:1", "access_key": "a", "secret_key": "b"}
AWAY = {"BACKEND": "mailbox.storage.object_store.S3RawStorage", "OPTIONS": NOBODY}


@pytest.mark.parametrize("full", [FULL, AWAY], ids=["disk full", "object store away"])
def test_a_store_that_takes_nothing_is_told_and_no_mail_is_blamed(
    account: Account, server: ScriptedImap, settings: Any, full: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    right = settings.STORAGES
    settings.STORAGES = {**right, "raw": full}
    for _ in range(6):
        assert folder_sync.sync(account.pk).error_code == "storage"
    assert (uids_stored(account), Quarantine.objects.count(), SyncState.objects.get().begun) == ([], 0, {})
    settings.STORAGES = right
    assert folder_sync.sync(account.pk).ok
    assert uids_stored(account) == [1, 2, 3, 4, 5]
