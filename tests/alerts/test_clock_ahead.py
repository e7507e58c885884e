"""A clock that was ahead and is set back: what it wrote keeps no alert and no event from anybody."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from alerts import notice_delivery
from alerts.events import webhook_delivery
from alerts.models import AlertIncident, AlertNotice, Webhook, WebhookDelivery
from mailbox.models import Account, Transport
from tests.alerts.event_webhook import bodies, webhook
from tests.alerts.telling import Receiver, account, by_webhook, failed, look, now, receiver
from tests.rows import letter, store

__all__ = ["account", "now", "receiver", "webhook"]
pytestmark = pytest.mark.django_db
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def test_an_incident_that_was_first_seen_tomorrow_is_told_now(
    account: Account, receiver: Receiver, now: datetime
) -> None:
    by_webhook(receiver, kinds=["sign_in"])
    Transport.objects.filter(pk=account.imap_id).update(needs_sign_in_since=now - MINUTE)
    look(now + DAY)
    assert not AlertNotice.objects.exists(), "it may be over in a minute"
    look(now)
    notice_delivery.send_due(now)
    assert receiver.events() == ["incident.opened"]
    Transport.objects.filter(pk=account.imap_id).update(needs_sign_in_since=None)
    look(now + DAY)
    look(now + MINUTE)
    notice_delivery.send_due(now + MINUTE)
    assert receiver.events() == ["incident.opened", "incident.closed"]


def test_more_of_what_was_told_tomorrow_is_told_now(account: Account, now: datetime) -> None:
    failed(account)
    look(now + DAY)
    failed(account)
    look(now)
    assert [each.closed_at for each in AlertIncident.objects.order_by("pk")] == [now, None]


def test_a_notice_that_waits_until_tomorrow_goes_out_now(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    failed(account)
    look(now)
    AlertNotice.objects.update(next_try_at=now + DAY)
    assert notice_delivery.send_due(now) == 1
    assert receiver.events() == ["incident.opened"]


def test_an_event_that_waits_until_tomorrow_is_posted_now(
    account: Account, webhook: Webhook, receiver: Receiver
) -> None:
    store(account, letter())
    receiver.status = 400
    webhook_delivery.send_all()
    Webhook.objects.update(next_try_at=timezone.now() + DAY, lease_expires_at=timezone.now() + DAY)
    WebhookDelivery.objects.update(next_try_at=timezone.now() + DAY)
    receiver.status = 204
    assert webhook_delivery.send_all() == 1
    assert [each["type"] for each in bodies(receiver)] == ["message.new"] * 2
