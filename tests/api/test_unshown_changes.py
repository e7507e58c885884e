"""If-Match sees a change also of what no answer shows: secrets, and the addresses of webhooks."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.models import AlertRule, Webhook
from mailbox.models import Account
from tests.api.calling import Program, is_problem, ops, program

__all__ = ["ops", "program"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
URL, SAME_HOST = "https://hooks.example.com/T/unspoken", "https://hooks.example.com/T/untold"
SECRETS = ("whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_" + "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4")
WEBHOOK = ("/webhooks", {"name": "crm", "url": URL, "secret": SECRETS[0]})
RULE = ("/alert-rules", {"channel": "webhook", "url": URL, "secret": SECRETS[0]})


@pytest.mark.parametrize("where, new", [WEBHOOK, RULE])
@pytest.mark.parametrize("change", [{"url": SAME_HOST}, {"secret": SECRETS[1]}])
def test_one_who_has_not_seen_it_changes_nothing_after_it(
    program: Program, where: str, new: dict[str, Any], change: dict[str, Any]
) -> None:
    at = f"{where}/{program.post(where, new).json()['data']['id']}"
    seen = program.get(at).headers["ETag"]
    assert program.ask("patch", at, {"is_on": True}, **{"if-match": seen}).status_code == 200
    assert program.get(at).headers["ETag"] == seen, "nothing was changed by that"
    assert program.ask("patch", at, change, **{"if-match": seen}).status_code == 200
    for method, body in (("patch", {"is_on": False}), ("delete", None)):
        assert is_problem(program.ask(method, at, body, **{"if-match": seen}), 412, "Changed")
    now = program.get(at)
    assert not any(each in now.content.decode() for each in (*SECRETS, "unspoken", "untold"))
    assert program.ask("delete", at, **{"if-match": now.headers["ETag"]}).status_code == 200
    assert not Webhook.objects.exists() and not AlertRule.objects.exists()


@pytest.mark.parametrize("kind", ["imap", "smtp"])
def test_a_changed_password_of_an_account_is_seen(program: Program, ops: Account, kind: str) -> None:
    at = f"/accounts/{ops.pk}"
    seen = program.get(at).headers["ETag"]
    changed = program.ask("patch", at, {kind: {"password": "another-password"}}, **{"if-match": seen})
    assert changed.status_code == 200 and "another-password" not in changed.content.decode()
    for method, body in (("patch", {"display_name": "Desk"}), ("delete", None)):
        assert is_problem(program.ask(method, at, body, **{"if-match": seen}), 412, "Changed")
    ops.refresh_from_db()
    assert ops.display_name != "Desk"
