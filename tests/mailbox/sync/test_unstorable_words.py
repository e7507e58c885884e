"""Servers whose words hold what no database takes: a run ends in words all the same, and never by a bug of ours.

PostgreSQL refuses NUL in text, so that one in a refusal ended the sync by an exception, over and over.
"""

from __future__ import annotations

import pytest

from mailbox.errors import MailError, ProviderError
from mailbox.models import Account
from mailbox.sync import folder_sync
from tests.mailbox.sync.odd_server import account, server
from tests.servers.imap_script import HangUp, ScriptedImap, Talk

__all__ = ["account", "server"]
pytestmark = [pytest.mark.django_db(transaction=True)]
UNSTORABLE = b"\0 \x1b[2J \xff\xfe \xed\xa0\x80 \xe2\x80\xae"
STEPS = ("GREETING", "LOGIN", "LIST", "EXAMINE", "SEARCH", "META", "BODY")
REFUSALS = ("NO", "BAD", "NO [UNAVAILABLE]", "NO [AUTHENTICATIONFAILED]", "* BYE")


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("step", STEPS)
def test_a_refusal_of_any_step_is_told_in_words_that_every_database_takes(
    account: Account, server: ScriptedImap, step: str, refusal: str
) -> None:
    def refuse(talk: Talk, tag: str, _arguments: str) -> bool:
        is_goodbye = refusal.startswith("*") or step == "GREETING"
        talk.send(f"{'*' if is_goodbye else tag} {refusal.removeprefix('* ')} ".encode() + UNSTORABLE + b"\r\n")
        if is_goodbye:
            raise HangUp
        return True

    server.faults[step] = refuse
    outcome = folder_sync.sync(account.pk)
    assert outcome.error_code != "storage"
    assert outcome.ok or outcome.error
    assert not set(outcome.error) & set("\0\x1b")
    if step == "LIST":
        with pytest.raises(MailError) as raised:
            folder_sync.discover_folders(account.pk)
        assert "\0" not in f"{raised.value} {raised.value.reply}"


def test_words_of_an_error_are_storable_however_it_is_made() -> None:
    error = ProviderError("The server refused: a\0b\ud800c", reply="a\0b\ud800c\n")
    assert (str(error), error.reply) == ("The server refused: a\ufffdb\ufffdc", "a\ufffdb\ufffdc\n")
