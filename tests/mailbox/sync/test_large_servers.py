"""Servers that lie about a large message: whatever they send, it ends, and a worker's memory stays level."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.utils import timezone

from mailbox.imap import transport
from mailbox.models import Account, Quarantine
from mailbox.storage import partial_files
from mailbox.sync import folder_sync, large_messages
from tests.mailbox.sync.large_mails import MB, _own_folder, account, big, server, small_pieces, whole
from tests.rows import letter
from tests.servers.imap_script import Mail, ScriptedImap, Talk
from tests.servers.site import ROOT, environment

__all__ = ["_own_folder", "account", "server", "small_pieces"]


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
    assert folder_sync.sync(account.pk).ok
    assert "sends more than 2,097,152" in Quarantine.objects.get().error
    assert list(partial_files._folder().glob("*")) == []
    assert folder_sync.sync(account.pk).ok  # and nothing is asked again
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
    assert folder_sync.sync(account.pk).ok
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
    outcome = folder_sync.sync(account.pk)
    assert outcome.error_code == "network"
    assert "1073741824" in outcome.error


MEASURED = """
import django, sys
django.setup()
from mailbox.sync import folder_sync as sync
outcome = sync.sync(int(sys.argv[1]))
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1], outcome)
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.long
def test_the_memory_of_a_worker_stays_level(account: Account, server: ScriptedImap) -> None:
    raw = big(95 * MB)
    server.mails = {1: Mail(letter()), 2: Mail(raw)}
    command = [sys.executable, "-c", MEASURED, str(account.pk)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak_mb = int(done.stdout.split()[0]) / 1024
    assert whole(account, raw), done.stdout + done.stderr
    assert peak_mb < 250, done.stdout


@pytest.mark.django_db
def test_a_message_larger_than_stated_is_put_aside_and_comes_when_asked_for(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its literal is larger than any answer may be; in pieces each answer has its size."""
    monkeypatch.setattr(transport, "SLACK_BYTES", MB)
    monkeypatch.setattr(large_messages, "FIRST_PIECE", MB)
    raw = big(4 * MB)
    server.mails = {1: Mail(letter()), 2: Mail(raw, stated_size=0)}
    for _ in range(10):
        folder_sync.sync(account.pk)
        if Quarantine.objects.exists():
            break
    Quarantine.objects.update(fetch_requested_at=timezone.now())
    assert folder_sync.sync(account.pk).error_code == "network"
    assert folder_sync.sync(account.pk).ok
    assert whole(account, raw)


@pytest.mark.django_db
def test_of_messages_without_a_stated_size_few_are_asked_for_at_once(account: Account, server: ScriptedImap) -> None:
    server.mails = {uid: Mail(letter(), stated_size=0) for uid in range(1, 41)}
    asked: list[int] = []

    def count(_talk: Talk, _tag: str, arguments: str) -> bool:
        asked.append(len(server.chosen(arguments.split(" ")[0])))
        return False

    server.faults["BODY"] = count
    assert folder_sync.sync(account.pk).fetched == 40
    assert sum(asked) == 40 and max(asked) == 16  # 4 MB of messages that may have 256 kB
