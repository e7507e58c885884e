"""Webhooks by the HTTP API: the secret shown once, members that are absent kept, deliveries and their repetition."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from alerts.events import webhook_delivery
from alerts.models import Event, Webhook, WebhookDelivery
from api.models import KeptAnswer, Scope
from mailbox.models import Account, AuditEntry
from tests.alerts.telling import Receiver, receiver
from tests.api.administration import SECRET
from tests.api.calling import Program, is_problem, ops, program, sales
from tests.rows import letter, store, tasks_queued

__all__ = ["ops", "program", "receiver", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
NEW = {"name": "crm", "url": "https://hooks.example.com/T/unspoken"}


def added(program: Program, **changes: Any) -> dict[str, Any]:
    answered = program.post("/webhooks", NEW | {"secret": SECRET} | changes)
    assert answered.status_code == 201, answered.content
    found: dict[str, Any] = answered.json()["data"]
    return found


def test_a_secret_that_is_made_is_shown_once(program: Program) -> None:
    first = program.post("/webhooks", NEW, **{"idempotency-key": "k"})
    shown = first.json()["data"]["secret"]
    assert Webhook.objects.get().secret == shown and webhook_delivery.key_of(shown)
    again = program.post("/webhooks", NEW, **{"idempotency-key": "k"})
    assert again.json()["data"] == first.json()["data"] | {"secret": None}
    assert shown not in KeptAnswer.objects.get().body
    pk = first.json()["data"]["id"]
    for path in ("/webhooks", f"/webhooks/{pk}", f"/webhooks/{pk}/deliveries", "/activity"):
        assert shown not in program.get(path).content.decode()


def test_neither_a_given_secret_nor_the_rest_of_the_address_is_answered(program: Program) -> None:
    made = added(program)
    assert (made["secret"], made["host"], made["account_ids"]) == (None, "hooks.example.com", None)
    answers = [program.get(path).content.decode() for path in ("/webhooks", f"/webhooks/{made['id']}", "/activity")]
    assert not any("unspoken" in each or SECRET in each for each in answers)
    assert (Webhook.objects.get().secret, Webhook.objects.get().url) == (SECRET, NEW["url"])


def test_what_is_not_given_stays(program: Program, ops: Account, sales: Account) -> None:
    made = added(program, kinds=["outbox.sent"], account_ids=[ops.pk])
    at = f"/webhooks/{made['id']}"
    Webhook.objects.update(failures=3, cursor=7)
    changed = program.ask("patch", at, {"name": "CRM 2"}).json()["data"]
    assert changed == {name: made[name] for name in made if name != "secret"} | {"name": "CRM 2"}
    row = Webhook.objects.get()
    assert (row.secret, row.url, row.failures, row.cursor) == (SECRET, NEW["url"], 0, 7)
    assert program.ask("patch", at, {"account_ids": [sales.pk], "is_on": False}).json()["data"]["is_on"] is False
    assert list(Webhook.objects.get().accounts.all()) == [sales]
    assert program.ask("patch", at, {"account_ids": None}).json()["data"]["account_ids"] is None


def test_one_whose_accounts_are_gone_does_not_become_one_for_all(program: Program, ops: Account) -> None:
    at = f"/webhooks/{added(program, account_ids=[ops.pk])['id']}"
    Account.objects.filter(pk=ops.pk).delete()
    assert program.ask("patch", at, {"name": "CRM 2"}).json()["data"]["account_ids"] == []
    assert not Webhook.objects.get().all_accounts


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"url": "http://hooks.example.com/"}, 422, "Validation"),
        ({"url": "ftp://hooks.example.com/"}, 422, "Validation"),
        ({"secret": "whsec_short"}, 422, "Validation"),
        ({"name": ""}, 422, "Validation"),
        ({"kinds": ["weather"]}, 422, "Validation"),
        ({"account_ids": []}, 422, "Validation"),
        ({"account_ids": [2**40]}, 404, "NotFound"),
        ({"is_on": None}, 422, "Validation"),
    ],
)
def test_what_is_no_webhook_is_refused(program: Program, change: dict[str, Any], status: int, code: str) -> None:
    assert is_problem(program.post("/webhooks", NEW | change), status, code)
    assert not Webhook.objects.exists()
    made = added(program)
    assert is_problem(program.ask("patch", f"/webhooks/{made['id']}", change), status, code)
    assert program.get(f"/webhooks/{made['id']}").json()["data"] == {
        name: value for name, value in made.items() if name != "secret"
    }


def test_a_token_that_may_not_read_mail_has_no_events_sent(make_user: Callable[..., User]) -> None:
    chief = make_user("administrator")
    made = added(Program(chief))
    narrow = Program(chief, scopes=[Scope.ADMINISTER])
    assert is_problem(narrow.post("/webhooks", NEW), 403, "Forbidden")
    changed = narrow.ask("patch", f"/webhooks/{made['id']}", {"url": "https://elsewhere.example.com/"})
    assert is_problem(changed, 403, "Forbidden")
    assert Webhook.objects.get().url == NEW["url"]


def test_events_are_posted_and_given_up_ones_again(program: Program, ops: Account, receiver: Receiver) -> None:
    made = added(program, url=receiver.url)
    at = f"/webhooks/{made['id']}"
    assert program.post(f"{at}/test").json()["data"]["state"] == "waiting"
    store(ops, letter())
    assert "alerts.tasks.send_events" in tasks_queued()
    webhook_delivery.send_all()
    assert [json.loads(body)["type"] for _, body in receiver.asked] == ["test", "message.new"]
    newest, test = program.get(f"{at}/deliveries").json()["data"]["items"]
    assert (newest["kind"], newest["account_id"], newest["state"]) == ("message.new", ops.pk, "sent")
    assert (test["event"], test["kind"], test["result"]) == (None, "", "The server answered 204.")
    WebhookDelivery.objects.filter(pk=newest["id"]).update(state="failed")
    assert [each["id"] for each in program.get(f"{at}/deliveries?state=failed").json()["data"]["items"]] == [
        newest["id"]
    ]
    assert program.get("/webhooks").json()["data"]["items"][0]["failed"] == 1
    assert program.post(f"{at}/deliver-again", {"delivery_id": None}).json()["data"] == {"number": 1}
    assert program.post(f"{at}/deliver-again", {"delivery_id": newest["id"]}).json()["data"] == {"number": 0}
    webhook_delivery.send_all()
    ids = [{k.lower(): v for k, v in headers.items()}["webhook-id"] for headers, _ in receiver.asked]
    assert len(ids) == 3 and ids[1] == ids[2]
    verbs = AuditEntry.objects.exclude(verb="use_token").order_by("pk").values_list("verb", flat=True)
    assert list(verbs)[-3:] == ["add_webhook", "test_webhook", "deliver_events_again"]


def test_a_delivery_of_another_webhook_is_not_posted_again(program: Program) -> None:
    one, other = (added(program)["id"] for _ in range(2))
    event = Event.objects.create(kind="outbox.sent")
    delivery = WebhookDelivery.objects.create(webhook_id=other, event=event, state="failed", next_try_at=timezone.now())
    assert is_problem(program.post(f"/webhooks/{one}/deliver-again", {"delivery_id": delivery.pk}), 404, "NotFound")
    assert WebhookDelivery.objects.get().state == "failed"


def test_one_that_is_off_is_not_tested(program: Program) -> None:
    made = added(program, is_on=False)
    assert is_problem(program.post(f"/webhooks/{made['id']}/test"), 409, "Conflict")
    assert not WebhookDelivery.objects.exists()
