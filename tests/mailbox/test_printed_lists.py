"""Lists of mail that commands print: a stranger's words are text there, and no command to the terminal."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from mailbox.models import Account
from mailbox.search.index import index_messages
from tests.rows import letter, outbox_row, store

pytestmark = pytest.mark.django_db
# CSI and OSC as one character each (ECMA-48): set the colour, and write to the clipboard.
COMMANDS_TO_A_TERMINAL = "Hi \x9b31m \x9d52;c;eA==\x9c"


@pytest.mark.parametrize("command", [("messages",), ("search", "hi"), ("outbox",)], ids=lambda command: command[0])
def test_no_subject_tells_a_terminal_what_to_do(
    account: Account, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    message = store(account, letter("Hi"), subject=COMMANDS_TO_A_TERMINAL)
    index_messages([message])
    outbox_row(account, COMMANDS_TO_A_TERMINAL)
    call_command(*command)
    printed = capsys.readouterr().out
    assert "Hi \\x9b31m \\x9d52;c;eA==\\x9c" in printed
    assert not set(printed) & set(COMMANDS_TO_A_TERMINAL[3:]) & {chr(code) for code in range(128, 160)}
