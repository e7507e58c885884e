"""The command line does what the pages do: accounts, folders, messages, search, reply, retry --all, doctor; each with
--json, one object and exit status 0 or 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from mailbox.models import Account, AccountAlias, AuditEntry, ConnectionTest, Folder, Message
from mailbox.search.index import index_messages
from outbox.models import OutboxMessage, SuppressedAddress
from tests.commands import Run
from tests.rows import folder_of, letter, outbox_row, store
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db
SERVERS = {"imap_host": "localhost", "imap_port": "1", "smtp_host": "localhost", "smtp_port": "1"}


def test_messages_are_listed_newest_first_by_account_folder_and_unread(run: Run, account: Account) -> None:
    now = timezone.now()
    store(account, letter("Old"), at=now - timedelta(days=1), seen=True)
    store(account, letter("New"), at=now)
    store(account, letter("Filed"), at=now, folder="Archive")
    found = [row["subject"] for row in run("messages")[1]["data"]["rows"]]
    assert found == ["Filed", "New", "Old"]
    narrowed = run("messages", "--account", "OPS@example.com", "--folder", "INBOX", "--unread")[1]["data"]["rows"]
    assert [row["subject"] for row in narrowed] == ["New"]
    status, answer = run("messages", "--limit", "1")
    assert status == 0 and answer["data"]["has_more"] and len(answer["data"]["rows"]) == 1
    for wrong in (("--limit", "0"), ("--limit", "501"), ("--account", "nobody@example.com")):
        status, answer = run("messages", *wrong)
        assert (status, answer["ok"], answer["error"]["code"]) == (1, False, "Validation")


def test_search_takes_the_operators_of_the_page(run: Run, account: Account) -> None:
    store(account, letter("Invoice 4411", From="Ann <ann@example.com>"))
    store(account, letter("Invoice 4412", From="Carl <carl@example.com>"))
    index_messages(list(Message.objects.all()))
    rows = run("search", "invoice from:ann", "--account", account.email)[1]["data"]["rows"]
    assert [row["subject"] for row in rows] == ["Invoice 4411"]
    status, answer = run("search", "larger:x")
    assert status == 1 and answer["error"]["message"]


def test_folders_are_listed_and_chosen_all_or_nothing(run: Run, account: Account) -> None:
    store(account, letter("Hello"))
    archive = folder_of(account, "Archive")
    Folder.objects.filter(pk=archive.pk).update(sync_enabled=False)
    rows = {row["name"]: row for row in run("folders", account.email)[1]["data"]["rows"]}
    assert rows["INBOX"]["stored"] == 1
    status, answer = run("folders", account.email, "--sync", "Archive", "--sync", "Nowhere")
    archive.refresh_from_db()
    assert (status, archive.sync_enabled) == (1, False) and "Nowhere" in answer["error"]["message"]
    run("folders", account.email, "--sync", "Archive")
    archive.refresh_from_db()
    assert archive.sync_enabled and AuditEntry.objects.get(verb="choose_folders").account == account
    run("folders", account.email, "--no-sync", "Archive")
    archive.refresh_from_db()
    assert not archive.sync_enabled


@pytest.mark.django_db(transaction=True)
def test_a_reply_answers_the_mail_it_names(run: Run, account: Account) -> None:
    status, answer = run("reply", account.email, "<nothing@example.com>", "--body", "Yes.")
    assert status == 1 and answer["error"]["message"]
    mail = store(account, letter("A question", From="Ann <ann@example.com>", Message_ID="<q@example.com>"))
    status, answer = run("reply", account.email, "<q@example.com>", "--body", "Yes.")
    row = OutboxMessage.objects.get()  # its server is out of reach: kept, to be tried again
    assert (row.parent, row.subject, row.in_reply_to, status) == (mail, "Re: A question", "<q@example.com>", 1)
    assert "ann@example.com" in row.to and answer["data"]["outbox_id"] == row.pk
    AccountAlias.objects.create(account=account, email="desk@example.com")
    run("reply", account.email, "<q@example.com>", "--body", "Yes.", "--from", "desk@example.com")
    assert "desk@example.com" in OutboxMessage.objects.latest("pk").header_from


@pytest.mark.django_db(transaction=True)
def test_a_mail_goes_to_an_address_that_bounced_only_when_it_is_said(run: Run, account: Account) -> None:
    put = {"account": account, "address": "ann@example.com", "reason": "bounced", "since": timezone.now()}
    SuppressedAddress.objects.create(**put)
    store(account, letter("A question", From="Ann <ann@example.com>", Message_ID="<q@example.com>"))
    for command in (
        ("send", account.email, "--to", "ann@example.com", "--subject", "Hi", "--body", "Dear Ann"),
        ("reply", account.email, "<q@example.com>", "--body", "Yes."),
    ):
        status, answer = run(*command)
        assert (status, answer["error"]["code"], OutboxMessage.objects.count()) == (1, "Validation", 0)
        assert run(*command, "--send-suppressed")[1]["data"]["outbox_id"] == OutboxMessage.objects.get().pk
        OutboxMessage.objects.all().delete()


def test_retry_all_takes_the_filters_of_the_page_and_says_first_what_it_would_do(
    run: Run, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [outbox_row(account, status="failed", hold="permanent", error="550 no") for _ in range(2)]
    uncertain = outbox_row(account, status="failed", hold="uncertain")
    outbox_row(account, status="sent", provider_message_id="<a@b>")
    status, answer = run("retry", "--all", "--filter", "state=failed_for_good", "--dry-run")
    assert (status, answer["data"]["matching"]) == (0, 2)
    assert OutboxMessage.objects.filter(hold="permanent").count() == 2
    status, answer = run("retry", "--all", "--filter", "state=failed_for_good")
    assert (status, answer["data"]) == (0, {"matching": 2, "asked": 2, "refused": {}})
    assert {OutboxMessage.objects.get(pk=row.pk).hold for row in failed} == {""}
    status, answer = run("retry", "--all", "--filter", "state=needs_decision")
    uncertain.refresh_from_db()
    assert (uncertain.hold, answer["data"]["asked"], status) == ("uncertain", 0, 1)
    assert sum(answer["data"]["refused"].values()) == 1
    assert not answer["ok"] and answer["error"]["message"].startswith("1 not: ")
    with pytest.raises(SystemExit):
        call_command("retry", "--all", "--filter", "state=needs_decision")
    assert "1 match. 0 are tried again by the workers. 1 not: " in capsys.readouterr().out
    for wrong in (("--all", "--filter", "state=nothing"), ("--all", "7"), (), ("7", "--dry-run")):
        assert run("retry", *wrong)[0] == 1


def declared(path: Path, *rows: dict[str, str]) -> str:
    names = sorted({name for row in rows for name in row})
    lines = [",".join(names), *(",".join(row.get(name, "") for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_same_file_twice_changes_nothing_and_secrets_stand_in_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_SECRET", "secret one")
    row = {"email": "new@example.com", **SERVERS, "password_env": "MAIL_SECRET", "display_name": "New"}
    file = declared(tmp_path / "accounts.csv", row)
    assert run("accounts", "import", file)[1]["data"]["rows"][0]["state"] == "made"
    before = Account.objects.get()
    click = AuditEntry.objects.get(part_of=None)
    assert (click.verb, [each.verb for each in click.parts.all()]) == ("import_accounts", ["add_account"])
    assert run("accounts", "import", file)[1]["data"]["rows"][0]["state"] == "unchanged"
    assert AuditEntry.objects.count() == 2
    assert ConnectionTest.objects.get().account == before
    after = Account.objects.get()
    assert (after.updated_at, after.imap.encrypted_password) == (before.updated_at, before.imap.encrypted_password)
    assert after.imap.password == after.smtp.password == "secret one"
    monkeypatch.setenv("MAIL_SECRET", "secret two")
    changed = run("accounts", "import", declared(tmp_path / "accounts.csv", {**row, "sync_enabled": "no"}))[1]
    assert changed["data"]["rows"][0]["changed"] == ["sync_enabled", "imap_secret", "smtp_secret"]
    assert not Account.objects.get().sync_enabled and Account.objects.get().imap.password == "secret two"
    assert "secret" not in json.dumps(list(AuditEntry.objects.values_list("detail", flat=True))).replace("_secret", "")


def test_yaml_declares_them_too_and_one_that_is_wrong_keeps_no_other_from_being_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_SECRET", "x")
    lines = "\n".join(f"    {name}: {value}" for name, value in SERVERS.items())
    good = f"  - email: good@example.com\n{lines}\n    password_env: MAIL_SECRET\n    push_enabled: false\n"
    wrong = f"  - email: wrong@example.com\n{lines}\n    password_env: NOT_SET\n"
    file = tmp_path / "accounts.yaml"
    file.write_text(f"accounts:\n{wrong}{good}")
    status, answer = run("accounts", "import", str(file))
    assert (status, [row["email"] for row in answer["data"]["rows"]]) == (1, ["good@example.com"])
    assert "NOT_SET" in answer["data"]["refused"][0]["message"]
    assert not Account.objects.get().push_enabled
    for text in ("- 7", "email: [", "- {email: a@b.example, passwort: x}", "- {email: good@example.com, imap_port: x}"):
        file.write_text(text)
        assert run("accounts", "import", str(file))[0] == 1
    for text in (f"{wrong.replace('NOT_SET', 'hunter2!')}", "- password_env: [hunter2!"):
        file.write_text(text)
        status, answer = run("accounts", "import", str(file))
        assert status == 1 and "hunter2" not in json.dumps(answer)
    assert run("accounts", "import", str(tmp_path / "nothing.csv"))[0] == 1
    assert Account.objects.count() == 1


def test_accounts_are_edited_and_other_servers_need_the_secret(
    run: Run, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("accounts", "edit", account.email, "--display-name", "Ops")[1]["data"]["changed"] == ["display_name"]
    status, answer = run("accounts", "edit", account.email, "--imap-host", "evil.example.com")
    account.imap.refresh_from_db()
    assert status == 1 and account.imap.host != "evil.example.com" and "password" in answer["error"]["message"]
    monkeypatch.setenv("MAIL_SECRET", "y")
    run("accounts", "edit", account.email, "--imap-host", "imap.example.com", "--password-env", "MAIL_SECRET")
    account.imap.refresh_from_db()
    assert (account.imap.host, account.imap.password) == ("imap.example.com", "y")
    rows = run("accounts", "list")[1]["data"]["rows"]
    assert [(row["email"], row["display_name"]) for row in rows] == [(account.email, "Ops")]
    assert "y" not in {str(value) for row in rows for value in row.values()}


def test_an_account_is_deleted_only_with_yes_and_not_while_mail_waits(run: Run, account: Account) -> None:
    waiting = outbox_row(account, status="pending")
    assert run("accounts", "delete", account.email)[0] == 1
    assert run("accounts", "delete", account.email, "--yes")[0] == 1
    OutboxMessage.objects.filter(pk=waiting.pk).update(status="cancelled")
    assert run("accounts", "delete", account.email, "--yes")[0] == 0
    assert not Account.objects.exists() and AuditEntry.objects.filter(verb="delete_account").exists()


def test_doctor_says_each_step_with_words_and_advice(run: Run, account: Account) -> None:
    status, answer = run("doctor", account.email)
    steps = {(step["side"], step["step"]): step for step in answer["data"]["steps"]}
    assert status == 1 and not answer["ok"]
    assert steps[("imap", "look up the name")]["ok"]
    assert not steps[("imap", "connect")]["ok"] and steps[("imap", "connect")]["advice"]
    assert ("imap", "TLS") not in steps and not steps[("smtp", "sign in")]["ok"]
    assert run("accounts", "test", account.email)[0] == 1


def test_doctor_finds_nothing_on_servers_that_work(
    run: Run, make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = make_account()
    status, answer = run("doctor", account.email)
    assert status == 0, answer
    steps = {(step["side"], step["step"]): step["words"] for step in answer["data"]["steps"]}
    assert steps.keys() >= {("imap", "TLS"), ("smtp", "STARTTLS"), ("smtp", "sign in")}
    assert steps[("smtp", "STARTTLS")] == steps[("imap", "TLS")] == "TLSv1.3, the certificate is good"
    assert run("accounts", "test", account.email)[1]["data"]["imap"]["ok"]


def smtp_steps(run: Run, account: Account) -> dict[str, dict[str, Any]]:
    status, answer = run("doctor", account.email)
    assert status == 1
    return {step["step"]: step for step in answer["data"]["steps"] if step["side"] == "smtp"}


def test_doctor_says_what_is_wrong_with_starttls(
    run: Run, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("starttls")
    stranger = account_on(server, ca_certificate="")
    failed = smtp_steps(run, stranger)["STARTTLS"]
    assert not failed["ok"] and "certificate" in failed["words"] and "Extra CA certificate" in failed["advice"]
    plain = account_on(smtp_server("none"), smtp_security="starttls")
    failed = smtp_steps(run, plain)["STARTTLS"]
    assert not failed["ok"] and "does not offer STARTTLS" in failed["words"] and "587" in failed["advice"]
    server.refuse("STARTTLS", "454 4.7.0 TLS not available")
    failed = smtp_steps(run, account_on(server))["STARTTLS"]
    assert not failed["ok"] and "454 4.7.0 TLS not available" in failed["words"] and "asks to wait" in failed["advice"]
    assert not server.said("AUTH"), "nobody signs in where TLS fails"


def test_without_network_nothing_is_tried(run: Run, account: Account, settings: Any) -> None:
    settings.NETWORK = False
    for arguments in (("doctor", account.email), ("accounts", "test", account.email)):
        status, answer = run(*arguments)
        assert status == 1 and "PRX_EMAIL_NETWORK" in answer["error"]["message"]
