"""The operations of administration: people, tokens, webhooks, alert rules, storage and the machines."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from alerts.models import AlertRule, Event, EventKind, Webhook, WebhookDelivery
from api.models import Token
from mailbox.models import Account
from tests.api.operation import ADMINISTER, PEOPLE, READ, Operation

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def of_people(account: Account) -> dict[str, Operation]:
    vera = User.objects.create_user(f"vera of {account.pk}", "vera@example.com", "sign-in-please")
    invited = User.objects.create_user(f"invited of {account.pk}")
    at = f"/people/{vera.pk}"
    site: dict[str, Any] = {"scope": PEOPLE, "of": "everything"}
    new = {"email": "new@example.com", "role": "viewer", "account_ids": [account.pk]}
    return {
        "list_people": Operation("get", "/people?q=vera", **site),
        "invite": Operation("post", "/people", new, **site, also=(READ,)),
        "get_person": Operation("get", at, **site),
        "change_role": Operation("put", f"{at}/role", {"role": "viewer"}, **site, also=(READ,)),
        "change_role_for_account": Operation("put", f"{at}/accounts/{account.pk}", {"role": ""}, **site),
        "switch_person": Operation("put", f"{at}/active", {"is_active": False}, **site),
        "sign_out_person": Operation("post", f"{at}/sign-out", **site),
        "withdraw_invitation": Operation("delete", f"/people/{invited.pk}", **site),
    }


def of_tokens(account: Account) -> dict[str, Operation]:
    user = User.objects.create_user(f"maker for {account.pk}")
    ends = timezone.now() + timedelta(days=1)
    kept, ended = (Token.objects.create(user=user, digest=f"{account.pk} {n}", expires_at=ends) for n in range(2))
    site: dict[str, Any] = {"scope": PEOPLE, "of": "everything"}
    return {
        "list_tokens": Operation("get", "/tokens", **site),
        "get_token": Operation("get", f"/tokens/{kept.pk}", **site),
        "end_token": Operation("delete", f"/tokens/{ended.pk}", **site),
    }


def of_webhooks(account: Account) -> dict[str, Operation]:
    crm, gone = (Webhook(name=name, url="https://hooks.example.com/T/unspoken") for name in ("crm", "gone"))
    for each in (crm, gone):
        each.secret = SECRET
        each.save()
    event = Event.objects.create(kind=EventKind.OUTBOX_SENT, account=account)
    delivery = {"webhook": crm, "event": event, "next_try_at": timezone.now()}
    failed = WebhookDelivery.objects.create(state="failed", **delivery)
    site: dict[str, Any] = {"scope": ADMINISTER, "of": "everything"}
    new = {"name": "crm", "url": "https://hooks.example.com/", "secret": SECRET, "account_ids": [account.pk]}
    at = f"/webhooks/{crm.pk}"
    return {
        "list_webhooks": Operation("get", "/webhooks", **site),
        "add_webhook": Operation("post", "/webhooks", new, **site, also=(READ,)),
        "get_webhook": Operation("get", at, **site),
        "change_webhook": Operation("patch", at, {"is_on": True}, **site, also=(READ,)),
        "remove_webhook": Operation("delete", f"/webhooks/{gone.pk}", **site),
        "test_webhook": Operation("post", f"{at}/test", **site),
        "list_deliveries": Operation("get", f"{at}/deliveries", **site),
        "deliver_again": Operation("post", f"{at}/deliver-again", {"delivery_id": failed.pk}, **site),
    }


def of_alert_rules(account: Account) -> dict[str, Operation]:
    kept, gone = (AlertRule.objects.create(channel="mail", sender=account, address="ann@example.com") for _ in range(2))
    site: dict[str, Any] = {"scope": ADMINISTER, "of": "everything"}
    new = {"channel": "mail", "sender_id": account.pk, "address": "ann@example.com", "account_id": account.pk}
    at = f"/alert-rules/{kept.pk}"
    return {
        "list_alert_rules": Operation("get", "/alert-rules", **site),
        "add_alert_rule": Operation("post", "/alert-rules", new, **site),
        "get_alert_rule": Operation("get", at, **site),
        "change_alert_rule": Operation("patch", at, {"is_on": False}, **site),
        "remove_alert_rule": Operation("delete", f"/alert-rules/{gone.pk}", **site),
        "test_alert_rule": Operation("post", f"{at}/test", **site),
    }


def of_administration(account: Account) -> dict[str, Operation]:
    machines = {
        "get_storage": Operation("get", "/storage", of="list"),
        "get_system": Operation("get", "/system", None, ADMINISTER, of="everything"),
    }
    found = of_people(account) | of_tokens(account) | of_webhooks(account)
    return found | of_alert_rules(account) | machines
