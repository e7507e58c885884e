"""Alert rules by the HTTP API: what is set, what stays, what is refused, and that a test arrives."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from alerts import tasks
from alerts.models import AlertRule
from api.models import KeptAnswer
from mailbox.models import Account, AuditEntry
from tests.alerts.telling import Receiver, receiver
from tests.api.calling import Program, is_problem, ops, program, sales

__all__ = ["ops", "program", "receiver", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
HOOK = {"channel": "webhook", "url": "https://hooks.example.com/T/unspoken"}
SECRET = "a secret of the webhook"


def test_a_rule_by_mail_is_added_changed_and_removed(program: Program, ops: Account) -> None:
    new = {"channel": "mail", "address": "me@example.net", "sender_id": ops.pk, "kinds": ["failed", "bounce"]}
    made = program.post("/alert-rules", new).json()["data"]
    at = f"/alert-rules/{made['id']}"
    assert (made["address"], made["sender_id"], made["kinds"]) == ("me@example.net", ops.pk, ["failed", "bounce"])
    assert (made["is_on"], made["host"], made["secret"], made["account_id"]) == (True, "", None, None)
    changed = program.ask("patch", at, {"is_on": False, "account_id": ops.pk}).json()["data"]
    kept = {name: made[name] for name in made if name != "secret"}
    assert changed == kept | {"is_on": False, "account_id": ops.pk}
    assert program.ask("delete", at).status_code == 200 and not AlertRule.objects.exists()
    verbs = AuditEntry.objects.order_by("pk").values_list("verb", flat=True)
    assert [each for each in verbs if each.endswith("_alert")] == ["add_alert", "edit_alert", "delete_alert"]


def test_a_secret_that_is_made_is_shown_once(program: Program) -> None:
    first = program.post("/alert-rules", HOOK, **{"idempotency-key": "k"})
    again = program.post("/alert-rules", HOOK, **{"idempotency-key": "k"})
    shown = first.json()["data"]["secret"]
    assert AlertRule.objects.get().secret == shown and len(shown) >= 16
    assert again.json()["data"] == first.json()["data"] | {"secret": None}
    assert shown not in KeptAnswer.objects.get().body
    pk = first.json()["data"]["id"]
    program.ask("patch", f"/alert-rules/{pk}", {"kinds": ["failed"]})
    assert (AlertRule.objects.get().secret, AlertRule.objects.get().url) == (shown, HOOK["url"])
    answers = [program.get(path).content.decode() for path in ("/alert-rules", f"/alert-rules/{pk}", "/activity")]
    assert not any(shown in each or "unspoken" in each for each in answers)
    assert "hooks.example.com" in answers[1]


def test_a_rule_goes_over_to_another_channel(program: Program, ops: Account) -> None:
    chief = User.objects.get()
    User.objects.update(email="chief@example.net")
    made = program.post("/alert-rules", HOOK | {"secret": SECRET}).json()["data"]
    by_mail = {"channel": "mail", "user_id": chief.pk, "sender_id": ops.pk}
    changed = program.ask("patch", f"/alert-rules/{made['id']}", by_mail).json()["data"]
    assert (changed["channel"], changed["user_id"], changed["host"]) == ("mail", chief.pk, "")
    row = AlertRule.objects.get()
    assert (row.encrypted_secret, row.url) == (None, "")
    back = program.ask("patch", f"/alert-rules/{made['id']}", HOOK)
    assert is_problem(back, 422, "Validation"), "the former secret is gone"


def test_a_user_takes_the_place_of_an_address_and_an_address_that_of_a_user(program: Program, ops: Account) -> None:
    """Else a change would be answered 200, and the former one still told."""
    User.objects.update(email="chief@example.net")
    new = {"channel": "mail", "address": "me@example.net", "sender_id": ops.pk}
    at = f"/alert-rules/{program.post('/alert-rules', new).json()['data']['id']}"
    chief = User.objects.get().pk
    for change, told in (
        ({"user_id": chief}, (chief, "")),
        ({"address": "you@example.net"}, (None, "you@example.net")),
    ):
        changed = program.ask("patch", at, change).json()["data"]
        assert (changed["user_id"], changed["address"]) == told
    both = program.ask("patch", at, {"user_id": chief, "address": "me@example.net"})
    assert is_problem(both, 422, "Validation") and AlertRule.objects.get().address == "you@example.net"


@pytest.mark.parametrize(
    "given",
    [
        {"channel": "mail", "address": "me@example.net"},
        {"channel": "mail", "address": "me", "sender_id": "ops"},
        {"channel": "mail", "address": "me@example.net", "user_id": "chief", "sender_id": "ops"},
        {"channel": "mail", "address": "me@example.net", "sender_id": 2**40},
        {"channel": "mail", "user_id": 2**40, "sender_id": "ops"},
        {"channel": "pigeon"},
        {"channel": "webhook"},
        {**HOOK, "url": "http://hooks.example.com/"},
        {**HOOK, "secret": "short"},
        {**HOOK, "kinds": ["weather"]},
        {**HOOK, "account_id": 2**40},
        {**HOOK, "is_on": None},
    ],
)
def test_what_is_no_rule_is_refused(program: Program, ops: Account, given: dict[str, Any]) -> None:
    User.objects.update(email="chief@example.net")
    known = {"ops": ops.pk, "chief": User.objects.get().pk}
    body = {name: known.get(value, value) if isinstance(value, str) else value for name, value in given.items()}
    assert is_problem(program.post("/alert-rules", body), 422, "Validation")
    assert not AlertRule.objects.exists()


def test_a_test_is_sent_and_its_result_is_listed(program: Program, receiver: Receiver) -> None:
    made = program.post("/alert-rules", HOOK | {"url": receiver.url, "secret": SECRET}).json()["data"]
    notice = program.post(f"/alert-rules/{made['id']}/test").json()["data"]
    assert (notice["phase"], notice["state"], notice["incident_id"]) == ("test", "waiting", None)
    tasks.send_due()
    assert receiver.events() == ["test"]
    (line,) = program.get("/alert-rules").json()["data"]["items"]
    assert (line["last"]["id"], line["last"]["state"], line["last"]["result"]) == (
        notice["id"],
        "sent",
        "The server answered 204.",
    )


def test_the_list_goes_on_at_its_cursor(program: Program) -> None:
    made = [program.post("/alert-rules", HOOK | {"secret": SECRET}).json()["data"]["id"] for _ in range(3)]
    first = program.get("/alert-rules?limit=2").json()["data"]
    rest = program.get(f"/alert-rules?limit=2&before={first['next']}").json()["data"]
    assert [each["id"] for each in first["items"] + rest["items"]] == made[::-1]
    assert {each["last"] for each in first["items"]} == {None} and rest["next"] is None
