"""The pages of webhooks for events: add, change, test, deliver again."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from alerts.events import webhook_delivery
from alerts.models import Webhook, WebhookDelivery
from mailbox.models import Account
from tests.alerts.event_webhook import SECRET, bodies, webhook
from tests.alerts.telling import Receiver, receiver
from tests.rows import NOWHERE, letter, store

__all__ = ["receiver", "webhook"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_an_administrator_adds_a_webhook_tests_it_and_has_events_delivered_again(
    client: Client, make_user: Callable[..., User], account: Account, receiver: Receiver
) -> None:
    client.force_login(make_user("administrator"))
    given = {"name": "crm", "url": receiver.url, "secret": SECRET, "accounts": account.email, "is_on": "on"}
    client.post("/alerts/webhooks/add/", given)
    webhook = Webhook.objects.get()
    assert (webhook.secret, webhook.all_accounts, list(webhook.accounts.all())) == (SECRET, False, [account])
    assert SECRET not in webhook.encrypted_secret
    client.post(f"/alerts/webhooks/{webhook.pk}/test/")
    webhook_delivery.send_all()
    assert bodies(receiver)[0]["type"] == "test"
    store(account, letter())
    webhook_delivery.send_all()
    delivery = WebhookDelivery.objects.latest("pk")
    client.post(f"/alerts/webhooks/{webhook.pk}/again/", {"delivery": delivery.pk})
    webhook_delivery.send_all()
    assert receiver.asked[1][1] == receiver.asked[2][1]
    stored = Webhook.objects.get()
    client.post(f"/alerts/webhooks/{webhook.pk}/", given | {"secret": "", "name": "CRM"})
    webhook.refresh_from_db()
    assert (webhook.name, webhook.encrypted_secret, webhook.secret_set_at) == (
        "CRM", stored.encrypted_secret, stored.secret_set_at,
    )  # fmt: skip
    client.post(f"/alerts/webhooks/{webhook.pk}/", given | {"secret": webhook_delivery.new_secret()})
    webhook.refresh_from_db()
    assert webhook.secret_set_at is not None and webhook.secret_set_at != stored.secret_set_at
    page = client.get(f"/alerts/webhooks/{webhook.pk}/").content.decode()
    assert "message.new (ops@example.com" in page
    assert SECRET not in page
    assert "unspoken" not in client.get("/alerts/webhooks/").content.decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secret": "whsec_short"}, "A secret is whsec_"),
        ({"secret": ""}, "A secret is whsec_"),
        ({"url": "ftp://example.com/"}, "Only https addresses"),
        ({"accounts": "nobody@example.com"}, "There is no account nobody@example.com."),
    ],
)
def test_what_cannot_be_a_webhook_is_refused_in_words(
    changes: dict[str, str], words: str, client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    given = {"name": "crm", "url": "https://example.com/", "secret": SECRET, "is_on": "on"} | changes
    assert words in client.post("/alerts/webhooks/add/", given).content.decode()
    assert not Webhook.objects.exists()


def test_one_whose_accounts_are_gone_is_told_of_none_until_others_are_named(
    client: Client, make_user: Callable[..., User], make_account: Callable[..., Account], webhook: Webhook
) -> None:
    """Its field of accounts is empty then, which else means all."""
    client.force_login(make_user("administrator"))
    one, other = (make_account(f"{name}@example.com", **NOWHERE) for name in ("one", "other"))
    given = {"name": "CRM", "url": webhook.url, "accounts": one.email, "is_on": "on"}
    at = f"/alerts/webhooks/{webhook.pk}/"
    client.post(at, given)
    Account.objects.filter(pk=one.pk).delete()
    assert "Its accounts are gone" in client.get(at).content.decode()
    client.post(at, given | {"name": "CRM 2", "accounts": ""})
    webhook.refresh_from_db()
    assert (webhook.name, webhook.all_accounts, webhook.accounts.count()) == ("CRM 2", False, 0)
    client.post(at, given | {"accounts": other.email})
    assert list(webhook.accounts.all()) == [other]
    client.post(at, given | {"accounts": ""})
    webhook.refresh_from_db()
    assert webhook.all_accounts


def test_a_webhooks_page_has_no_button_that_can_do_nothing(
    administrator: Client, webhook: Webhook, receiver: Receiver
) -> None:
    def buttons() -> tuple[bool, bool]:
        page = administrator.get(f"/alerts/webhooks/{webhook.pk}/").content.decode()
        return "Deliver all that were given up" in page, "Send a test" in page

    assert buttons() == (False, True)
    delivery = webhook_delivery.ask_for_test(webhook)
    assert buttons() == (False, True)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(state="failed")
    assert buttons() == (True, True)
    Webhook.objects.update(is_on=False)
    assert buttons() == (True, False)


def test_a_receiver_in_trouble_has_its_next_try_counted_down_to_on_both_pages(
    client: Client, webhook: Webhook, make_user: Callable[..., User]
) -> None:
    now = timezone.now()
    Webhook.objects.update(failing_since=now - timedelta(hours=1), next_try_at=now + timedelta(minutes=5, seconds=30))
    client.force_login(make_user("administrator"))
    for url in ("/alerts/webhooks/", f"/alerts/webhooks/{webhook.pk}/"):
        said = client.get(url).content.decode()
        (next_try,) = re.findall(r"next try <time [^>]*data-countdown>([^<]*)</time>", said)
        assert next_try == "in 5 min", url
