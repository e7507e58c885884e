"""The command line: outcomes as text or one JSON object, exit status 0 or 1, refusals as sentences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mailbox.models import Account, Folder
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.django_db
MakeAccount = Callable[..., Account]
SERVERS = ["--imap-host", "imap.example.com", "--imap-port", "993", "--smtp-host", "smtp.example.com"]


def run_sync(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, the one JSON object, and what stands on stderr."""
    status = 0
    try:
        call_command("sync", *arguments, "--json")
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, json.loads(captured.out), captured.err


def test_an_account_is_added_and_synced(
    dovecot: Dovecot, mail_user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", MAILBOX_PASSWORD)
    (tmp_path / "ca.pem").write_text(dovecot.ca_pem)
    servers = ["--imap-host", "localhost", "--imap-port", str(dovecot.imap_port)]
    servers += ["--smtp-host", "localhost", "--smtp-port", str(dovecot.submission_port)]
    secret = ["--password-env", "MAIL_PASSWORD", "--ca-file", str(tmp_path / "ca.pem")]
    call_command("add_account", mail_user, *servers, *secret)
    account = Account.objects.get(email=mail_user)
    assert (account.smtp.security, account.imap.user) == ("starttls", mail_user)
    fill(dovecot, account, 3)
    capsys.readouterr()
    status, report, _ = run_sync(capsys, mail_user)
    assert (status, report["ok"], report["fetched"], report["attempted"]) == (0, True, 3, 1)
    assert stored(account) == on_server(dovecot, account)


def test_a_token_is_kept_as_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_TOKEN", "ya29.token")
    call_command("add_account", "a@example.com", *SERVERS, "--smtp-port", "465", "--oauth-token-env", "MAIL_TOKEN")
    account = Account.objects.get()
    assert (account.imap.oauth_token, account.imap.password, account.smtp.security) == ("ya29.token", None, "tls")


@pytest.mark.parametrize(
    ("email", "extra", "sentence"),
    [
        ("a@example.com", [], "exactly one of --password-env and --oauth-token-env"),
        ("a@example.com", ["--password-env", "SECRET", "--oauth-token-env", "SECRET"], "exactly one"),
        ("a@example.com", ["--password-env", "NOT_SET"], "NOT_SET is not set"),
        ("nonsense", ["--password-env", "SECRET"], "valid email"),
        ("a@example.com", ["--password-env", "SECRET", "--user", ""], "imap user"),
        ("a@example.com", ["--password-env", "SECRET", "--imap-port", "70000"], "65535"),
        ("a@example.com", ["--password-env", "SECRET", "--imap-host", ""], "imap host"),
        ("a@example.com", ["--password-env", "SECRET", "--ca-file", "/nowhere.pem"], "cannot be read"),
        ("a@example.com", ["--password-env", "SECRET", "--display-name", "A\r\nBcc: b@example.com"], "line breaks"),
    ],
)
def test_a_bad_account_is_refused_with_a_sentence(
    email: str, extra: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    with pytest.raises(CommandError, match=sentence) as refusal:
        call_command("add_account", email, *SERVERS, "--smtp-port", "587", *extra)
    assert refusal.value.returncode == 1
    assert "hunter2" not in str(refusal.value)
    assert not Account.objects.exists()


def test_one_folder_in_small_rounds_until_nothing_is_left(
    make_account: MakeAccount, dovecot: Dovecot, capsys: Any
) -> None:
    account = make_account()
    dovecot.create_folder(account.email, "Entwürfe")
    fill(dovecot, account, 5)
    status, report, _ = run_sync(capsys, account.email, "--folder", "INBOX", "--max-messages", "2")
    assert (status, report["fetched"], report["folders"][0]["more_waiting"]) == (0, 2, True)
    status, report, _ = run_sync(capsys, account.email.upper(), "--max-messages", "2", "--all")
    assert (status, report["fetched"], report["folders"][0]["more_waiting"]) == (0, 3, False)
    status, report, _ = run_sync(capsys, account.email, "--folder", "Entwürfe")
    assert (status, report["folders"][0]["folder"]) == (0, "Entwürfe")
    assert not Folder.objects.get(name="Entwürfe").sync_enabled


def test_an_unknown_account_is_a_stated_failure(capsys: Any) -> None:
    status, report, words = run_sync(capsys, "nobody@example.com")
    assert (status, report["ok"]) == (1, False)
    assert "no account nobody@example.com" in report["error"]["message"]
    assert "no account nobody@example.com" in words


def test_a_limit_below_one_is_a_stated_failure(make_account: MakeAccount, capsys: Any) -> None:
    status, report, _ = run_sync(capsys, "--max-messages", "0")
    assert (status, report["error"]["message"]) == (1, "--max-messages must be at least 1.")


def test_a_refused_sign_in_is_a_stated_failure_in_the_servers_words(make_account: MakeAccount, capsys: Any) -> None:
    account = make_account(imap_password="wrong-one")
    status, report, words = run_sync(capsys, account.email)
    assert (status, report["failed"], report["error"]["code"]) == (1, 1, "sign_in")
    assert "AUTHENTICATIONFAILED" in words
    assert "wrong-one" not in words + json.dumps(report)


@pytest.mark.django_db(transaction=True)
def test_without_an_address_every_account_is_synced(make_account: MakeAccount, dovecot: Dovecot, capsys: Any) -> None:
    accounts = [make_account(), make_account(), make_account(sync_enabled=False)]
    for account in accounts:
        fill(dovecot, account, 1)
    call_command("sync")
    words = capsys.readouterr().out
    assert [account.email in words for account in accounts] == [True, True, False]
    assert "1 fetched" in words
