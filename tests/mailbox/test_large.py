"""Large messages: in pieces, after all others, in level memory, over as many runs as they take, and never poison."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from mailbox import large, partial, rawstore, sync
from mailbox.models import Account, Attachment, Folder, Message, MessagePlace, Quarantine, SyncState
from mailbox.partial import PartialFile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.rows import NOWHERE, letter, store
from tests.servers.certificates import Certificates
from tests.servers.imap_script import HangUp, Mail, ScriptedImap, Talk
from tests.servers.site import ROOT, environment

MB = 1024 * 1024
MakeAccount = Callable[..., Account]


def big(size: int, subject: str = "Big") -> bytes:
    """A mail with one attachment, about `size` bytes in all."""
    content = os.urandom(64 * 1024) * max(size * 3 // 4 // (64 * 1024), 1)
    lines = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return (
        b"From: ann@example.com\r\nTo: bob@example.com\r\nMessage-ID: <" + subject.encode() + b"@example.com>\r\n"
        b"Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nSubject: " + subject.encode() + b"\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n'
        b"--b\r\nContent-Type: application/pdf; name=big.pdf\r\nContent-Disposition: attachment\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + lines + b"\r\n--b--\r\n"
    )


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    """What one test leaves half fetched is no other test's message, though it may have its number."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates).start()
    yield server
    server.stop()


@pytest.fixture
def account(make_account: MakeAccount, server: ScriptedImap, certificates: Certificates) -> Account:
    where = {"imap_host": "localhost", "imap_port": server.port, "smtp_host": "localhost", "smtp_port": 1}
    account = make_account(**where, ca_certificate=certificates.ca_pem)
    Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    return account


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that two megabytes are large."""
    for module in ("mailbox.large", "mailbox.asked", "mailbox.batch"):
        monkeypatch.setattr(f"{module}.PIECES_FROM_BYTES", 200_000)
    for name in ("FIRST_PIECE", "SMALLEST_PIECE", "LARGEST_PIECE"):
        monkeypatch.setattr(large, name, 300_000)


def whole(account: Account, raw: bytes) -> bool:
    row = MessagePlace.objects.select_related("message").filter(folder__account=account, uid=2).first()
    return bool(row and row.is_complete and row.message.is_complete and rawstore.open_raw(row.raw_digest) == raw)


def pieces(server: ScriptedImap) -> int:
    return server.seen.count("BODY")


# --- In pieces --------------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_a_large_message_is_whole_after_one_run_and_its_attachment_exact(
    account: Account, server: ScriptedImap
) -> None:
    raw = big(2 * MB)
    server.mails = {1: Mail(letter()), 2: Mail(raw), 3: Mail(letter())}
    outcome = sync.sync(account.pk)
    assert (outcome.ok, outcome.more_waiting) == (True, False)
    assert whole(account, raw)
    message = Message.objects.get(subject="Big")
    content = base64.b64decode(raw.split(b"base64\r\n\r\n")[1].split(b"\r\n--b--")[0])
    attachment = Attachment.objects.get(message=message)
    assert (attachment.size, attachment.digest) == (len(content), hashlib.sha256(content).hexdigest())
    assert message.body_text.strip() == "See the file."
    assert Message.objects.count() == 3
    assert list(partial._folder().glob("*")) == []
    assert not MessagePlace.objects.filter(fetch_requested_at__isnull=False).exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_the_others_are_there_before_the_large_one(account: Account, server: ScriptedImap) -> None:
    seen: list[int] = []

    def slow(talk: Talk, _tag: str, arguments: str) -> bool:
        if "[]<300000." in arguments:  # the second piece
            seen.append(server.seen.count("BODY"))
            raise HangUp
        return False

    server.mails = {1: Mail(letter()), 2: Mail(big(2 * MB)), 3: Mail(letter())}
    server.faults["BODY"] = slow
    outcome = sync.sync(account.pk)
    assert outcome.error_code == "network"
    assert seen
    assert Message.objects.count() == 3
    assert not Message.objects.get(subject="Big").is_complete
    assert SyncState.objects.get().cursor == 3


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_a_connection_that_breaks_at_each_piece_gets_there_all_the_same(account: Account, server: ScriptedImap) -> None:
    """Far more often than a message may fail that makes no progress."""
    raw = big(3 * MB)
    given: dict[str, int] = {}

    def break_every_second(talk: Talk, _tag: str, arguments: str) -> bool:
        if "[]<" not in arguments:
            return False
        given[arguments] = given.get(arguments, 0) + 1
        if given[arguments] == 1 and "[]<0." not in arguments:
            raise HangUp
        return False

    server.mails = {2: Mail(raw)}
    server.faults["BODY"] = break_every_second
    failures = 0
    for _ in range(30):
        outcome = sync.sync(account.pk)
        failures += not outcome.ok
        if outcome.ok and not outcome.more_waiting:
            break
    assert failures >= 8
    assert whole(account, raw)
    assert not Quarantine.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_when_its_time_is_over_the_next_run_goes_on(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = big(2 * MB)
    server.mails = {2: Mail(raw)}
    fetch = large.LargeMessage.fetch
    monkeypatch.setattr(large.LargeMessage, "fetch", lambda self, progress: fetch(self, progress, seconds=0))
    runs = 0
    while (outcome := sync.sync(account.pk)).more_waiting:
        runs += 1
        assert outcome.ok
    assert runs >= 5
    assert whole(account, raw)
    assert pieces(server) <= runs + 4  # none was fetched twice


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_one_that_makes_no_progress_is_put_aside_at_last(account: Account, server: ScriptedImap) -> None:
    def break_it(_talk: Talk, _tag: str, arguments: str) -> bool:
        if "[]<" in arguments:
            raise HangUp
        return False

    server.mails = {2: Mail(big(1 * MB))}
    server.faults["BODY"] = break_it
    for _ in range(5):
        sync.sync(account.pk)
    assert "ended the connection" in Quarantine.objects.get().error
    assert sync.sync(account.pk).ok


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_one_that_is_gone_in_the_meantime_is_settled(account: Account, server: ScriptedImap) -> None:
    def expunge(talk: Talk, tag: str, arguments: str) -> bool:
        if "[]<300000." not in arguments:
            return False
        server.mails.pop(2, None)
        talk.say(f"{tag} OK done")
        return True

    server.mails = {1: Mail(letter()), 2: Mail(big(1 * MB))}
    server.faults["BODY"] = expunge
    assert sync.sync(account.pk).ok
    assert MessagePlace.objects.present().filter(uid=2).count() == 0
    assert list(partial._folder().glob("*")) == []


# --- Servers that lie ---------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_a_message_without_end_is_cut(account: Account, server: ScriptedImap, settings: Any) -> None:
    settings.FETCH_NOW_MAX_BYTES = 2 * MB

    def endless(talk: Talk, tag: str, arguments: str) -> bool:
        if "[]<" not in arguments:
            return False
        origin, count = arguments.split("[]<")[1].rstrip(">)").split(".")
        talk.send(f"* 1 FETCH (UID 2 BODY[]<{origin}> {{{count}}}\r\n".encode() + b"x" * int(count) + b")\r\n")
        talk.say(f"{tag} OK done")
        return True

    server.mails = {2: Mail(big(300_000))}
    server.faults["BODY"] = endless
    assert sync.sync(account.pk).ok
    assert "sends more than 2,097,152" in Quarantine.objects.get().error
    assert list(partial._folder().glob("*")) == []
    assert sync.sync(account.pk).ok  # and nothing is asked again
    assert Quarantine.objects.get().attempts == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_a_server_that_knows_no_pieces_may_give_all_at_once(account: Account, server: ScriptedImap) -> None:
    raw = big(1 * MB)

    def all_of_it(talk: Talk, tag: str, arguments: str) -> bool:
        if "[]<" not in arguments:
            return False
        server.say_bodies(talk, [2])
        talk.say(f"{tag} OK done")
        return True

    server.mails = {2: Mail(raw)}
    server.faults["BODY"] = all_of_it
    assert sync.sync(account.pk).ok
    assert whole(account, raw)


@pytest.mark.django_db
def test_a_literal_of_a_gigabyte_takes_no_memory(account: Account, server: ScriptedImap) -> None:
    def announce(talk: Talk, _tag: str, arguments: str) -> bool:
        if "[]<" not in arguments:
            return False
        talk.send(b"* 1 FETCH (UID 2 BODY[]<0> {1073741824}\r\n")
        for _ in range(1024):
            talk.send(b"x" * MB)
        return True

    server.mails = {2: Mail(big(100_000), stated_size=50 * MB)}
    server.faults["BODY"] = announce
    outcome = sync.sync(account.pk)
    assert outcome.error_code == "network"
    assert "1073741824" in outcome.error


MEASURED = """
import django, sys
django.setup()
from mailbox import sync
outcome = sync.sync(int(sys.argv[1]))
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1], outcome)
"""


@pytest.mark.django_db(transaction=True)
def test_the_memory_of_a_worker_stays_level(account: Account, server: ScriptedImap) -> None:
    raw = big(95 * MB)
    server.mails = {1: Mail(letter()), 2: Mail(raw)}
    command = [sys.executable, "-c", MEASURED, str(account.pk)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak_mb = int(done.stdout.split()[0]) / 1024
    assert whole(account, raw), done.stdout + done.stderr
    assert peak_mb < 250, done.stdout


# --- The file -----------------------------------------------------------------------------------------------------
def test_what_nobody_went_on_with_is_swept(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    file = PartialFile.of(1, 2, 3)
    assert (file.length(), file.mapped()) == (0, b"")
    file.put(0, b"ab")
    file.put(2, b"cd")
    file.put(2, b"cd")  # by another worker, of another time
    assert bytes(file.mapped()) == b"abcd"
    assert file.path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "partial/notes.txt").write_text("not ours")
    assert partial.sweep() == 0
    assert partial.sweep(time.time() + partial.KEPT_SECONDS + 60) == 1
    assert (tmp_path / "partial/notes.txt").exists()


@pytest.mark.parametrize(
    ("size", "seconds", "following"),
    [
        (large.FIRST_PIECE, 1, 2 * large.FIRST_PIECE),
        (large.LARGEST_PIECE, 1, large.LARGEST_PIECE),
        (large.FIRST_PIECE, 10, large.FIRST_PIECE),
        (large.FIRST_PIECE, 30, large.FIRST_PIECE // 2),
        (large.SMALLEST_PIECE, 30, large.SMALLEST_PIECE),
    ],
)
def test_a_piece_is_as_large_as_the_connection_is_fast(size: int, seconds: float, following: int) -> None:
    assert large._next_size(size, seconds) == following


# --- The click ----------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_what_is_above_the_ceiling_is_refused_in_words(
    client: Client, make_user: Callable[..., User], make_account: MakeAccount, settings: Any
) -> None:
    account = make_account(**NOWHERE)
    message = store(account, letter(), is_complete=False, size=settings.FETCH_NOW_MAX_BYTES + 1)
    client.force_login(make_user("operator"))
    page = client.post(reverse("mailbox:message_fetch", args=[message.pk]), follow=True).content.decode()
    assert "no more than 150.0" in page
    assert not MessagePlace.objects.filter(fetch_requested_at__isnull=False).exists()
    Message.objects.filter(pk=message.pk).update(size=settings.FETCH_NOW_MAX_BYTES)
    client.post(reverse("mailbox:message_fetch", args=[message.pk]))
    assert MessagePlace.objects.filter(fetch_requested_at__isnull=False).exists()
