"""Large messages: in pieces, after all others, over as many runs as they take, and never poison."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, Attachment, Message, MessagePlace, Quarantine, SyncState
from mailbox.storage import partial_files
from mailbox.storage.partial_files import PartialFile
from mailbox.sync import folder_sync, large_messages
from tests.mailbox.sync.large_mails import MB, MakeAccount, _own_folder, account, big, server, small_pieces, whole
from tests.rows import NOWHERE, letter, store
from tests.servers.imap_script import HangUp, Mail, ScriptedImap, Talk

__all__ = ["_own_folder", "account", "server", "small_pieces"]


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
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.more_waiting) == (True, False)
    assert whole(account, raw)
    message = Message.objects.get(subject="Big")
    content = base64.b64decode(raw.split(b"base64\r\n\r\n")[1].split(b"\r\n--b--")[0])
    attachment = Attachment.objects.get(message=message)
    assert (attachment.size, attachment.digest) == (len(content), hashlib.sha256(content).hexdigest())
    assert message.body_text.strip() == "See the file."
    assert Message.objects.count() == 3
    assert list(partial_files._folder().glob("*")) == []
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
    outcome = folder_sync.sync(account.pk)
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
        outcome = folder_sync.sync(account.pk)
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
    monkeypatch.setattr(large_messages, "RUN_SECONDS", 0)
    runs = 0
    while (outcome := folder_sync.sync(account.pk)).more_waiting:
        runs += 1
        assert outcome.ok
    assert runs >= 5
    assert whole(account, raw)
    assert pieces(server) <= runs + 4  # none was fetched twice


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_new_mail_comes_before_what_an_earlier_run_left_of_a_large_one(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.mails = {2: Mail(big(2 * MB))}
    monkeypatch.setattr(large_messages, "RUN_SECONDS", 0)
    assert folder_sync.sync(account.pk).more_waiting
    server.mails[3] = Mail(letter())
    asked: list[str] = []

    def note(_talk: Talk, _tag: str, arguments: str) -> bool:
        asked.append(arguments.split(" ")[0])
        return False

    server.faults["BODY"] = note
    assert folder_sync.sync(account.pk).more_waiting
    assert asked == ["3", "2"]


@pytest.mark.django_db
@pytest.mark.usefixtures("small_pieces")
def test_one_that_makes_no_progress_is_put_aside_at_last_with_the_servers_words(
    account: Account, server: ScriptedImap
) -> None:
    def break_it(talk: Talk, _tag: str, arguments: str) -> bool:
        if "[]<" in arguments:
            talk.say("* BYE Internal error: mail 2 is corrupt")
            raise HangUp
        return False

    server.mails = {2: Mail(big(1 * MB))}
    server.faults["BODY"] = break_it
    for _ in range(5):
        folder_sync.sync(account.pk)
    error = Quarantine.objects.get().error
    assert "ended the connection" in error and "mail 2 is corrupt" in error
    assert folder_sync.sync(account.pk).ok


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
    assert folder_sync.sync(account.pk).ok
    assert MessagePlace.objects.present().filter(uid=2).count() == 0
    assert list(partial_files._folder().glob("*")) == []


# --- The file -----------------------------------------------------------------------------------------------------
def test_what_nobody_went_on_with_is_swept(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    file = PartialFile.of(1, 2, 3, 4, None)
    assert (file.length(), file.mapped()) == (0, b"")
    file.put(0, b"ab")
    file.put(2, b"cd")
    file.put(2, b"cd")  # by another worker, of another time
    assert bytes(file.mapped()) == b"abcd"
    assert file.path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "partial/notes.txt").write_text("not ours")
    assert partial_files.sweep() == 0
    assert partial_files.sweep(time.time() + partial_files.KEPT_SECONDS + 60) == 1
    assert (tmp_path / "partial/notes.txt").exists()


@pytest.mark.parametrize(
    ("size", "seconds", "following"),
    [
        (large_messages.FIRST_PIECE, 1, 2 * large_messages.FIRST_PIECE),
        (large_messages.LARGEST_PIECE, 1, large_messages.LARGEST_PIECE),
        (large_messages.FIRST_PIECE, 10, large_messages.FIRST_PIECE),
        (large_messages.FIRST_PIECE, 30, large_messages.FIRST_PIECE // 2),
        (large_messages.SMALLEST_PIECE, 30, large_messages.SMALLEST_PIECE),
    ],
)
def test_a_piece_is_as_large_as_the_connection_is_fast(size: int, seconds: float, following: int) -> None:
    assert large_messages._next_size(size, seconds) == following


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
