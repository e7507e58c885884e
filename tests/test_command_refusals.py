"""What a command cannot read is refused as everything else is: exit status 1, a sentence, an object with --json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import InterfaceError

from mailbox.errors import StorageError
from mailbox.management.base import RefusingCommand
from mailbox.models import Account
from tests.rows import NOWHERE
from tests.servers.site import ROOT

SERVERS = ["--imap-host", "h.example", "--imap-port", "993", "--smtp-host", "s.example", "--smtp-port", "465"]
APPS = {"alerts", "api", "mailbox", "outbox", "people", "prx_email_site"}
# What their parsers want before anything is done.
LEAST = {
    "accounts": ["list"],
    "add_account": ["ops@example.com", *SERVERS],
    "backup": ["/nowhere"],
    "doctor": ["ops@example.com"],
    "export_messages": ["mail.zip"],
    "folders": ["ops@example.com"],
    "invite": ["ann@example.com", "--role", "viewer"],
    "person": ["ann@example.com"],
    "prove": ["/nowhere"],
    "reply": ["ops@example.com", "1", "--body", "Hi"],
    "restore": ["/nowhere"],
    "search": ["Hi"],
    "send": ["ops@example.com", "--to", "a@example.com", "--subject", "S", "--body", "B"],
}
BROKEN = "\udcff"  # what Python makes of a byte that is no UTF-8


def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as a shell starts it; it is refused before it asks for a database."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "MAIL_PASSWORD": "sesame"}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: str = "Validation") -> dict[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as leaving:
        call_command(*arguments, "--json")
    assert leaving.value.code == 1
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["error"]["code"] == code
    return answer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["outbox", "--limit", "abc"], "invalid int value: 'abc'"),
        (["send", "ops@example.com", "--to", "a@example.com"], "--subject, --body"),
        (["sync", BROKEN], "email is not valid UTF-8."),
        (["accounts", "edit"], "following arguments are required: EMAIL"),
        (["backup"], "DIR|s3://"),
    ],
)
@pytest.mark.in_part(3)
def test_an_option_that_cannot_be_read_is_a_stated_failure(arguments: list[str], said: str) -> None:
    answered = typed(*arguments, "--json")
    assert answered.returncode == 1
    error = json.loads(answered.stdout)["error"]
    assert error["code"] == "Validation"
    assert said in error["message"]
    assert "Traceback" not in answered.stderr


def test_without_json_the_sentence_stands_on_stderr() -> None:
    answered = typed("outbox", "--limit", "abc")
    assert (answered.returncode, answered.stdout) == (1, "")
    assert answered.stderr.startswith("Argument --limit: invalid int value: 'abc'.")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["outbox", "send", "add_account", "sync", "sync --folder", "send --idempotency-key"])
def test_bytes_that_are_no_text_are_refused(
    make_account: Callable[..., Account], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make_account("ops@example.com", **NOWHERE)
    mail = ["--to", "a@example.com", "--subject", "S", "--body", "B"]
    arguments = {
        "outbox": ["outbox", "--account", BROKEN],
        "send": ["send", BROKEN, *mail],
        "add_account": ["add_account", f"{BROKEN}@example.com", *SERVERS, "--password-env", "MAIL_PASSWORD"],
        "sync": ["sync", BROKEN],
        "sync --folder": ["sync", "ops@example.com", "--folder", BROKEN],
        "send --idempotency-key": ["send", "ops@example.com", *mail, "--idempotency-key", BROKEN],
    }
    assert "is not valid UTF-8" in refused(capsys, *arguments[name])["error"]["message"]


@pytest.mark.django_db
@pytest.mark.parametrize("folder", ["", "  ", "a\nb", "a\x7fb"])
def test_what_is_no_folder_name_is_refused_before_anything_is_asked(
    make_account: Callable[..., Account], capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    make_account("ops@example.com", **NOWHERE)
    assert "--folder" in refused(capsys, "sync", "ops@example.com", "--folder", folder)["error"]["message"]


@pytest.mark.django_db
def test_add_account_answers_with_an_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "sesame")
    monkeypatch.setenv("BROKEN_PASSWORD", "sesame\nA1 DELETE INBOX")
    good = [*SERVERS, "--password-env", "MAIL_PASSWORD"]
    call_command("add_account", "ops@example.com", *good, "--json")
    account = Account.objects.get()
    assert json.loads(capsys.readouterr().out)["data"] == {"account_id": account.pk, "email": "ops@example.com"}
    assert "exists already" in refused(capsys, "add_account", "OPS@example.com", *good)["error"]["message"]
    broken = [*SERVERS, "--password-env", "BROKEN_PASSWORD"]
    said = refused(capsys, "add_account", "b@example.com", *broken)["error"]["message"]
    assert "no line breaks or control characters" in said
    assert "DELETE" not in said


BACKUPS = {
    "backup /nowhere --keep 0": ("Validation", "1 or more"),
    "backup /dev/null/x": ("Unreadable", "Not a directory"),
    "restore /nowhere/at/all": ("NoBackup", "NoBackup"),
    "prove /nowhere/at/all": ("NoBackup", "NoBackup"),
    "prove s3://": ("BackupFault", "s3://"),
}


@pytest.mark.django_db
def test_a_backup_that_is_refused_is_an_object_too(
    capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    """Its code is the fault's name."""
    for line, (code, words) in BACKUPS.items():
        with subtests.test(line):
            error = refused(capsys, *line.split(), code=code)["error"]
            assert words in error["message"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(name for name, app in get_commands().items() if app in APPS))
def test_every_command_with_json_refuses_by_an_object(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what its code raises, and a database that is away."""
    command = load_command_class(get_commands()[name], name)
    if "--json" not in command.create_parser("manage.py", name).format_help() and name != "accounts":
        return
    assert isinstance(command, RefusingCommand)
    faults = {"Validation": CommandError("No."), "Storage": StorageError("The disk is full.")}
    for code, fault in (*faults.items(), ("Storage", InterfaceError("connection already closed"))):

        def broken(*arguments: Any, fault: Exception = fault, **options: Any) -> None:
            raise fault

        monkeypatch.setattr(command, "handle", broken)
        monkeypatch.setattr(command, "requires_system_checks", [])
        with pytest.raises(SystemExit) as leaving:
            call_command(command, *LEAST.get(name, ()), "--json")
        answer = json.loads(capsys.readouterr().out)
        assert (leaving.value.code, answer["ok"], answer["error"]["code"]) == (1, False, code)


IGNORED_BEFORE = {
    "retry --all --failure-mode network": "--failure-mode does not go with --all",
    "retry --all --dry-run --attempt 1": "--attempt does not go with --all",
    "retry --all --filter=": "--filter is empty",
    "token --list --days 3": "--days does not go with --list",
    "token --end 1 --scope read": "--scope does not go with --end",
    "token --end 1 --list": "--list does not go with --end",
    "token ann --end 1": "USER does not go with --end",
    "token ann --scope read --account=": "--account is empty",
    "token ann --scope read --network=": "--network is empty",
    "invite ann@example.com --role viewer --account=": "--account is empty",
    "folders ops@example.com --sync INBOX --no-sync INBOX": "both name INBOX",
    "feature email_send off --account=": "--account is empty",
    "messages --folder=": "--folder is empty",
    "messages --account=": "--account is empty",
    "search Hi --account=": "--account is empty",
    "outbox --status=": "--status is empty",
}


@pytest.mark.django_db
def test_what_an_option_says_is_never_left_aside(
    make_account: Callable[..., Account], capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    """One that another one makes void is refused, as is an empty one that would mean everything."""
    make_account("ops@example.com", **NOWHERE)
    for line, words in IGNORED_BEFORE.items():
        with subtests.test(line):
            assert words in refused(capsys, *line.split())["error"]["message"]
    for arguments in (["alerts", "--every", "0"], ["alerts", "--every", "-5"], ["backup", "/nowhere", "--keep", "0"]):
        with subtests.test(" ".join(arguments)), pytest.raises(CommandError, match=r"1 or more"):
            call_command(*arguments)
    with subtests.test("reparse"), pytest.raises(SystemExit):
        call_command("reparse", account=" ")
