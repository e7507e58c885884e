"""Webhooks for events: signed, filtered, in order, at least once, damped, given up and delivered again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from alerts.events import numbers, triggers, webhook_delivery
from alerts.models import Event, Kind, Webhook, WebhookDelivery
from alerts.problems import installation
from mailbox.models import Account, Message
from outbox.models import OutboxMessage, SendingSwitch
from tests.alerts.event_webhook import SECRET, bodies, webhook
from tests.alerts.telling import Receiver, receiver
from tests.rows import NOWHERE, letter, outbox_row, store

__all__ = ["receiver", "webhook"]
pytestmark = pytest.mark.django_db


def time_passes() -> None:
    """What waits for a later try waits no longer."""
    Webhook.objects.update(next_try_at=timezone.now())
    WebhookDelivery.objects.update(next_try_at=timezone.now())


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own libraries."""
    given = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert webhook_delivery.signed(SECRET, *given) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_events_are_posted_in_order_once_and_signed(account: Account, webhook: Webhook, receiver: Receiver) -> None:
    message = store(account, letter())
    Message.objects.filter(pk=message.pk).update(seen=True)
    row = outbox_row(account)
    OutboxMessage.objects.filter(pk=row.pk).update(status="sent")
    assert webhook_delivery.send_all() == 3
    assert webhook_delivery.send_all() == 0
    assert [each["type"] for each in bodies(receiver)] == ["message.new", "message.flags", "outbox.sent"]
    assert bodies(receiver)[2]["data"]["outbox_id"] == row.pk
    headers, body = receiver.asked[0]
    given = {name.lower(): value for name, value in headers.items()}
    assert given["webhook-id"] == Event.objects.earliest("number").identifier
    again = webhook_delivery.signed(SECRET, given["webhook-id"], int(given["webhook-timestamp"]), body)
    assert given["webhook-signature"] == again["webhook-signature"]


def test_only_what_is_wanted_of_the_accounts_that_are_named_is_posted(
    account: Account, make_account: Callable[..., Account], webhook: Webhook, receiver: Receiver
) -> None:
    other = make_account("sales@example.com", **NOWHERE)
    Webhook.objects.update(all_accounts=False, kinds=["message.new"])
    webhook.accounts.set([other])
    for each in (account, other):
        Message.objects.filter(pk=store(each, letter()).pk).update(seen=True)
    webhook_delivery.send_all()
    assert [(each["type"], each["data"]["account_id"]) for each in bodies(receiver)] == [("message.new", other.pk)]
    other.delete()  # a webhook for one account does not become one for all
    store(account, letter())
    webhook_delivery.send_all()
    assert len(receiver.asked) == 1


@pytest.mark.parametrize("status", [500, 503, 408, 429])
def test_a_receiver_in_trouble_is_left_alone_for_longer_and_nothing_is_lost(
    status: int, account: Account, webhook: Webhook, receiver: Receiver
) -> None:
    first, second = store(account, letter()), store(account, letter())
    receiver.status = status
    waits = []
    for _ in range(3):
        time_passes()
        before = timezone.now()
        assert webhook_delivery.send_all() == 1
        webhook.refresh_from_db()
        waits.append(round((webhook.next_try_at - before).total_seconds()))
        assert webhook_delivery.send_all() == 0
    assert waits == [5, 10, 20]
    receiver.status = 204
    time_passes()
    webhook_delivery.send_all()
    assert [each["data"]["message_id"] for each in bodies(receiver)[3:]] == [first.pk, second.pk]
    assert len({headers["webhook-id"] for headers, _ in receiver.asked[:4]}) == 1
    webhook.refresh_from_db()
    assert (webhook.failures, webhook.failing_since) == (0, None)


def test_one_event_that_is_refused_holds_up_its_own_mail_alone(
    account: Account, webhook: Webhook, receiver: Receiver
) -> None:
    refused, other = store(account, letter()), store(account, letter())
    Message.objects.filter(pk=refused.pk).update(seen=True)

    def judge() -> None:
        receiver.status = 400 if bodies(receiver)[-1]["data"]["message_id"] == refused.pk else 204

    receiver.meanwhile = judge
    webhook_delivery.send_all()
    assert [each["data"]["message_id"] for each in bodies(receiver)] == [refused.pk, other.pk]
    for _ in range(webhook_delivery.REFUSALS - 1):
        time_passes()
        webhook_delivery.send_all()
    given_up = WebhookDelivery.objects.get(state="failed")
    assert (given_up.event.kind if given_up.event else "", given_up.tries) == ("message.new", webhook_delivery.REFUSALS)
    receiver.meanwhile = lambda: None
    receiver.status = 204
    assert webhook_delivery.deliver_again(WebhookDelivery.objects.filter(pk=given_up.pk)) == 1
    time_passes()
    webhook_delivery.send_all()
    assert not WebhookDelivery.objects.exclude(state="sent").exists()


def test_silence_of_the_receiver_is_no_refusal_of_the_event(
    account: Account, webhook: Webhook, receiver: Receiver
) -> None:
    store(account, letter())
    for status in [503] * webhook_delivery.REFUSALS + [404]:
        receiver.status = status
        time_passes()
        webhook_delivery.send_all()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.tries) == ("waiting", 1)


def test_a_test_goes_before_what_waits_for_a_receiver_in_trouble(
    account: Account, webhook: Webhook, receiver: Receiver
) -> None:
    store(account, letter())
    receiver.status = 503
    webhook_delivery.send_all()
    webhook_delivery.ask_for_test(webhook)
    webhook_delivery.send_all()
    assert [each["type"] for each in bodies(receiver)] == ["message.new", "test"]


def test_a_webhook_that_fails_refuses_or_ended_is_told_by_alerts(
    account: Account, webhook: Webhook, receiver: Receiver
) -> None:
    now = timezone.now()
    assert [each for each in installation.find(now) if each.kind == Kind.EVENTS] == []

    def told() -> list[str]:
        return [each.sentence for each in installation.find(timezone.now()) if each.kind == Kind.EVENTS]

    Webhook.objects.update(failing_since=now - timedelta(minutes=14))
    assert told() == []
    Webhook.objects.update(failing_since=now - timedelta(minutes=16))
    [words] = told()
    assert "takes nothing since" in words
    WebhookDelivery.objects.create(webhook=webhook, state="failed", next_try_at=now)
    assert "refused 1 event, which was given up" in told()[1]
    store(account, letter())
    receiver.status = 410
    webhook_delivery.send_all()
    [words] = told()
    assert "is off since" in words and "(410)" in words
    [name, *_others] = triggers._present(connection)
    triggers._drop(connection, name, triggers._present(connection)[name])
    assert "Triggers are missing (1)" in told()[0]
    triggers.install()
    assert len(told()) == 1


def test_a_worker_that_dies_at_a_delivery_loses_none_and_doubles_only_that(
    account: Account, webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = store(account, letter()), store(account, letter())

    class Killed(BaseException):
        pass

    def die(*_: object) -> bool:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(webhook_delivery, "_store_result", die)
        webhook_delivery.send_all()
    webhook_delivery.send_all()
    told = [each["data"]["message_id"] for each in bodies(receiver)]
    assert told == [first.pk, first.pk, second.pk]
    assert receiver.asked[0][0]["webhook-id"] == receiver.asked[1][0]["webhook-id"]


def test_a_webhook_whose_secret_is_none_keeps_nothing_from_the_others(
    account: Account, receiver: Receiver, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Webhook.objects.get(pk=webhook.pk)
    first.secret = "no secret of this form"
    first.save()
    second = Webhook(name="other", url=receiver.url, cursor=numbers.give())
    second.secret = SECRET
    second.save()
    store(account, letter())
    webhook_delivery.send_all()
    assert len(receiver.asked) == 1
    first.refresh_from_db()
    assert first.failures == 1

    def crash(delivery: WebhookDelivery, *_: object) -> webhook_delivery.Posted:
        if delivery.webhook.pk == first.pk:
            raise KeyError("a fault of ours")
        return webhook_delivery.Posted(True, "The server answered 204.")

    Webhook.objects.update(next_try_at=timezone.now())
    store(account, letter())
    monkeypatch.setattr(webhook_delivery, "_posted", crash)
    assert webhook_delivery.send_all() == 1
    assert not Webhook.objects.exclude(lease_expires_at=None).exists()


def test_two_workers_never_post_to_one_webhook_at_once(account: Account, webhook: Webhook, receiver: Receiver) -> None:
    store(account, letter())
    Webhook.objects.update(lease_token="other", lease_expires_at=timezone.now() + timedelta(seconds=60))
    assert webhook_delivery.send_all() == 0
    Webhook.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert webhook_delivery.send_all() == 1


def test_a_receiver_that_is_gone_is_switched_off_and_events_wait(
    account: Account, webhook: Webhook, receiver: Receiver
) -> None:
    store(account, letter())
    receiver.status = 410
    webhook_delivery.send_all()
    webhook.refresh_from_db()
    assert not webhook.is_on
    assert webhook_delivery.send_all() == 0
    assert WebhookDelivery.objects.get().state == "waiting"


def test_an_inner_host_is_not_posted_to_and_a_restored_copy_is_silent(
    account: Account, webhook: Webhook, receiver: Receiver, settings: Any
) -> None:
    store(account, letter())
    SendingSwitch.current()
    SendingSwitch.objects.update(paused_at=timezone.now(), paused_by=None)
    assert webhook_delivery.send_all() == 0
    SendingSwitch.objects.update(paused_at=None)
    settings.WEBHOOK_ALLOW_PRIVATE = False
    assert webhook_delivery.send_all() == 1
    assert receiver.asked == []
    assert "not on the public Internet" in WebhookDelivery.objects.get().result
