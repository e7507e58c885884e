"""manage.py accounts list | edit | test | delete | import: manages accounts from a shell or a deployment."""

from __future__ import annotations

import sys
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import yaml
from django.core.management.base import CommandParser
from django.db import transaction

from mailbox import network
from mailbox.accounts import declared
from mailbox.accounts.connection_tests import ask_for_tests
from mailbox.accounts.declared_csv import UnreadableTable, read_table
from mailbox.models import Account, AuditEntry, ConnectionTest, audit_part
from mailbox.plain_words import on_a_line
from outbox import account_deletion, connection_test
from outbox.management.commands._answers import AnsweringCommand

EDITED = sorted(declared.KNOWN - {"email"})


class Command(AnsweringCommand):
    help = "List, edit, test or delete accounts, or import them from CSV or YAML (the same file twice changes nothing)."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="all accounts and how they are")
        editing = actions.add_parser("edit", help="change what is named")
        editing.add_argument("email", metavar="EMAIL")
        for name in EDITED:
            editing.add_argument(f"--{name.replace('_', '-')}", dest=name)
        testing = actions.add_parser("test", help="sign in on both sides; status 1 when one fails")
        testing.add_argument("email", metavar="EMAIL")
        deleting = actions.add_parser("delete", help="with all its mail here; nothing changes on its servers")
        deleting.add_argument("email", metavar="EMAIL")
        deleting.add_argument("--yes", action="store_true", help="without it nothing is deleted")
        importing = actions.add_parser("import", help="make or change the accounts that a file declares")
        importing.add_argument("file", metavar="FILE", help="*.csv, or *.yaml with a list of accounts")
        for each in (listing, editing, testing, deleting, importing):
            each.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _say(self, data: Any, sentence: str, *, as_json: bool, ok: bool = True) -> None:
        if as_json:
            error = None if ok else {"code": "Validation", "message": sentence}
            self.print_json({"ok": ok, "data": data, "error": error})
        else:
            self.stdout.write(sentence)
        if not ok:
            sys.exit(1)

    def _list(self, options: dict[str, Any]) -> None:
        rows = [_listed(account) for account in Account.objects.with_transports().order_by("email")]
        lines = [
            f"{each['account_id']:>5}  {each['email']}  {each['imap']}  {each['smtp']}  {each['state']}"
            for each in rows
        ]
        self._say({"rows": rows}, "\n".join(lines) or "No account.", as_json=options["json"])

    def _edit(self, options: dict[str, Any]) -> None:
        account = self.find_account(options["email"], as_json=options["json"])
        given = {name: options[name] for name in EDITED if options[name] is not None}
        try:
            with transaction.atomic():
                outcome = declared.declare({"email": account.email, **given})
                _record(outcome)
        except declared.InvalidDeclaration as error:
            self.refuse(str(error), as_json=options["json"])
        self._say(_told(outcome), _sentence(outcome), as_json=options["json"])

    def _test(self, options: dict[str, Any]) -> None:
        account = self.find_account(options["email"], as_json=options["json"])
        if network.is_off():
            self.refuse("PRX_EMAIL_NETWORK is 0: no connection leaves.", as_json=options["json"])
        test = ConnectionTest.objects.create(account=account)
        connection_test.run(test.pk)
        test.refresh_from_db()
        sides = {
            "imap": {"ok": bool(test.imap_ok), "reply": test.imap_reply},
            "smtp": {"ok": bool(test.smtp_ok), "reply": test.smtp_reply},
        }
        lines = [f"{side.upper()}  {'ok' if each['ok'] else 'FAILED'}  {each['reply']}" for side, each in sides.items()]
        ok = all(each["ok"] for each in sides.values())
        self._say({"account": account.email, **sides}, "\n".join(map(on_a_line, lines)), as_json=options["json"], ok=ok)

    def _delete(self, options: dict[str, Any]) -> None:
        account = self.find_account(options["email"], as_json=options["json"])
        if not options["yes"]:
            self.refuse(f"{account.email} would be deleted here with all its mail: say --yes.", as_json=options["json"])
        pk, email = account.pk, account.email
        note = partial(AuditEntry.objects.create, verb="delete_account", target=f"account:{pk}", detail=email)
        outcome = account_deletion.ask(account, note, seconds=inf)
        if outcome.refusal:
            self.refuse(outcome.refusal, as_json=options["json"])
        words = f"A worker is busy with {email}: workers delete it." if outcome.left else f"Deleted {email} here."
        self._say({"account_id": pk, "email": email, "left": outcome.left}, words, as_json=options["json"])

    def _import(self, options: dict[str, Any]) -> None:
        """Make or change each account independently: an invalid one does not stop the others, but the status is 1."""
        told, failed, made = [], [], []
        given_rows = self._read(options["file"], as_json=options["json"])
        with audit_part.one_click(None, "import_accounts", len(given_rows)) as click:
            for number, given in enumerate(given_rows, start=1):
                try:
                    with transaction.atomic():
                        outcome = declared.declare(given)
                        _record(outcome)
                except declared.InvalidDeclaration as error:
                    failed.append({"row": number, "email": given.get("email"), "message": str(error)})
                    continue
                click.done += outcome.state != "unchanged"
                told.append(_told(outcome))
                if outcome.state == "made":
                    made.append(outcome.account)
        ask_for_tests(made, None)
        lines = [f"{each['state']:<9} {each['email']}  {', '.join(each['changed'])}".rstrip() for each in told]
        lines += [f"REFUSED   {each['email']} (entry {each['row']}): {each['message']}" for each in failed]
        data = {"rows": told, "refused": failed}
        self._say(data, "\n".join(lines) or "The file declares no account.", as_json=options["json"], ok=not failed)

    def _read(self, name: str, *, as_json: bool) -> list[dict[str, Any]]:
        path = Path(name)
        try:
            content = path.read_bytes()
            if path.suffix.lower() == ".csv":
                rows: Any = [row.values for row in read_table(content, declared.KNOWN)]
            else:
                rows = yaml.safe_load(content.decode("utf-8-sig"))
        except yaml.MarkedYAMLError as error:  # its str() quotes the line, which may contain a secret
            line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
            self.refuse(f"{name} cannot be read: wrong YAML{line}.", as_json=as_json)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, UnreadableTable) as error:
            self.refuse(f"{name} cannot be read: {error}", as_json=as_json)
        rows = rows.get("accounts") if isinstance(rows, dict) else rows
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.refuse(f"{name} is no list of accounts.", as_json=as_json)
        return [{str(key): value for key, value in row.items()} for row in rows]


def _listed(account: Account) -> dict[str, Any]:
    needs = [side for side in ("imap", "smtp") if getattr(account, side).needs_sign_in_since]
    state = f"must sign in again ({', '.join(needs)})" if needs else "ok"
    return {
        "account_id": account.pk,
        "email": account.email,
        "display_name": account.display_name,
        "imap": f"{account.imap.host}:{account.imap.port}",
        "smtp": f"{account.smtp.host}:{account.smtp.port}",
        "sync_enabled": account.sync_enabled,
        "send_enabled": account.send_enabled,
        "push_enabled": account.push_enabled,
        "sending_paused_at": account.sending_paused_at,
        "deletion_stopped_at": account.deletion_stopped_at,
        "needs_sign_in": needs,
        "state": state,
    }


def _record(outcome: declared.DeclarationOutcome) -> None:
    if outcome.state == "unchanged":
        return
    verb = "add_account" if outcome.state == "made" else "edit_account"
    detail = ", ".join(outcome.changed)
    account = outcome.account
    values = {"verb": verb, "account": account, "target": f"account:{account.pk}", "detail": detail}
    AuditEntry.objects.create(part_of_id=audit_part.click(), **values)


def _told(outcome: declared.DeclarationOutcome) -> dict[str, Any]:
    account = outcome.account
    return {"account_id": account.pk, "email": account.email, "state": outcome.state, "changed": outcome.changed}


def _sentence(outcome: declared.DeclarationOutcome) -> str:
    what = f": {', '.join(outcome.changed)}" if outcome.changed else ""
    return f"{outcome.account.email} {outcome.state}{what}."
