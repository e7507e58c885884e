"""Servers that offer CONDSTORE and refuse it, and numbers that cannot be: all mail comes in all the same."""

from __future__ import annotations

import pytest
from django.utils import timezone

from mailbox.models import Account, SyncState
from mailbox.sync import folder_sync
from mailbox.sync.flags_and_expunges import COMPARE_EVERY
from tests.mailbox.sync.odd_server import account, all_stored, server, sync
from tests.mailbox.sync.synced import mail
from tests.servers.imap_script import Mail, ScriptedImap, Talk

__all__ = ["account", "server"]
pytestmark = [pytest.mark.django_db, pytest.mark.wire]


# --- CONDSTORE ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("words", ["BAD Unknown parameter", "NO CONDSTORE is not supported"])
def test_condstore_that_is_offered_and_refused_is_left_out_and_remembered(
    account: Account, server: ScriptedImap, words: str
) -> None:
    asked: list[str] = []

    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        asked.append(arguments)
        if "CONDSTORE" not in arguments:
            return False
        talk.say(f"{tag} {words}")
        return True

    server.capabilities, server.faults["EXAMINE"] = "IMAP4rev1 CONDSTORE", refuse
    sync(account)
    assert all_stored(account, server)
    asked.clear()
    server.mails[4] = Mail(mail(4))
    sync(account)
    assert all_stored(account, server)
    assert not any("CONDSTORE" in each for each in asked)


@pytest.mark.parametrize("modseq", [2**63, 2**64 - 1, 2**70, "NIL", "-1", "1.5", ""])
def test_a_mod_sequence_that_cannot_be_is_none(account: Account, server: ScriptedImap, modseq: object) -> None:
    def examine(talk: Talk, tag: str, _arguments: str) -> bool:
        numbers = ("* 3 EXISTS", "* OK [UIDVALIDITY  1]", f"* OK [HIGHESTMODSEQ {modseq}]")
        talk.say(*numbers, f"{tag} OK [READ-ONLY] done")
        return True

    server.capabilities, server.faults["EXAMINE"] = "IMAP4rev1 CONDSTORE", examine
    sync(account)
    sync(account)
    assert all_stored(account, server)
    assert SyncState.objects.get().highestmodseq is None


def test_other_numbers_that_cannot_be_end_no_run(account: Account, server: ScriptedImap) -> None:
    server.uidnext = 2**70
    server.mails[3].stated_size = 2**70
    sync(account)
    assert all_stored(account, server)
    server.uidvalidity = 2**70
    assert folder_sync.sync(account.pk).error_code == "provider"


@pytest.mark.parametrize("number", [2**31, 2**32, 2**63, 2**70])
def test_more_messages_than_there_can_be_are_no_empty_folder(
    account: Account, server: ScriptedImap, number: int
) -> None:
    def examine(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say(f"* {number} EXISTS", "* OK [UIDVALIDITY 1]", "* OK [UIDNEXT 4]", f"{tag} OK [READ-ONLY] done")
        return True

    server.faults["EXAMINE"] = examine
    sync(account)
    assert all_stored(account, server)


def test_mail_above_a_stale_uidnext_is_shown_at_once_though_the_counts_say_nothing_of_it(
    account: Account, server: ScriptedImap
) -> None:
    """As many went as came: the comparison finds it, and does not take it for one that is gone."""
    sync(account)
    assert all_stored(account, server)
    server.uidnext = max(server.mails) + 1
    server.mails[server.uidnext] = Mail(mail(9))
    del server.mails[min(server.mails)]
    assert folder_sync.sync(account.pk, now=timezone.now() + COMPARE_EVERY).ok
    assert all_stored(account, server)
