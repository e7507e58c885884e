"""Notices of an alert, by mail and by webhook: each once, whoever is killed at it, and only to where they may go."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from alerts import http_post, notice_delivery, tasks
from alerts.models import AlertNotice
from mailbox.models import Account, Transport
from outbox.models import OutboxMessage
from tests.alerts.telling import MINUTE, SECRET, Receiver, account, by_mail, by_webhook, failed, look, now, receiver

__all__ = ["account", "now", "receiver"]
pytestmark = [pytest.mark.django_db, pytest.mark.wire]


def test_a_webhook_says_what_and_where_and_is_signed(
    account: Account, receiver: Receiver, now: datetime, settings: Any
) -> None:
    settings.BASE_URL = "https://mail.example.com"
    by_webhook(receiver)
    failed(account)
    tasks.watch(now=now)
    ((headers, body),) = receiver.asked
    told = json.loads(body)
    assert (told["kind"], told["account"]) == ("failed", account.pk)
    assert told["sentence"] == "ops@example.com: 1 mail failed for good."
    assert told["url"] == f"https://mail.example.com/outbox/?state=failed_for_good&account={account.pk}"
    stamp, _, given = headers["X-PRX-Signature"].partition(",v1=")
    signed = stamp.removeprefix("t=").encode() + b"." + body
    assert given == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_a_mail_goes_through_the_outbox_once_however_often_it_is_tried(account: Account, now: datetime) -> None:
    by_mail(account)
    failed(account)
    tasks.watch(now=now)
    # Killed between the outbox's commit and ours: the notice is still waiting, and is tried again.
    AlertNotice.objects.update(state="waiting", next_try_at=now)
    tasks.watch(now=now + MINUTE)
    mail = OutboxMessage.objects.get(idempotency_key__startswith="alert:")
    assert (mail.to, mail.subject) == ("me@example.net", "PRX-Email: ops@example.com: 1 mail failed for good.")
    assert AlertNotice.objects.get().state == "sent"


def test_a_user_is_mailed_at_the_address_of_then(account: Account, make_user: Any, now: datetime) -> None:
    user = make_user("viewer")
    by_mail(account, address="", user=user)
    User.objects.filter(pk=user.pk).update(email="new@example.net")
    failed(account)
    tasks.watch(now=now)
    assert OutboxMessage.objects.get(idempotency_key__startswith="alert:").to == "new@example.net"


def test_an_alert_mail_that_fails_makes_no_alert_by_mail(account: Account, receiver: Receiver, now: datetime) -> None:
    by_mail(account)
    failed(account)
    tasks.watch(now=now)
    mails = OutboxMessage.objects.filter(idempotency_key__startswith="alert:")
    mails.update(status="failed", hold="permanent")
    by_webhook(receiver)
    for hour in range(5):
        tasks.watch(now=now + timedelta(hours=hour))
    assert mails.count() == 1
    assert [json.loads(body)["kind"] for _headers, body in receiver.asked] == ["alert_mail"]


def test_the_account_that_cannot_send_is_not_asked_to_say_so(account: Account, now: datetime) -> None:
    by_mail(account)
    Transport.objects.filter(pk=account.smtp_id).update(needs_sign_in_since=now)
    for minute in range(3):
        tasks.watch(now=now + minute * MINUTE)
    notice = AlertNotice.objects.get()
    assert (notice.state, OutboxMessage.objects.count()) == ("failed", 0)
    assert "is the one that cannot send" in notice.result


def test_a_webhook_that_fails_is_tried_later_and_given_up_in_the_end(
    account: Account, receiver: Receiver, now: datetime
) -> None:
    by_webhook(receiver)
    receiver.status = 500
    failed(account)
    look(now)
    for tries in range(1, 7):
        at = AlertNotice.objects.get().next_try_at
        notice_delivery.send_due(at - timedelta(seconds=1))
        assert len(receiver.asked) == tries - 1
        notice_delivery.send_due(at)
        assert len(receiver.asked) == tries
    assert AlertNotice.objects.get().state == "failed"
    assert {headers["X-PRX-Delivery"] for headers, _body in receiver.asked} == {str(AlertNotice.objects.get().pk)}


def test_one_receiver_that_takes_nothing_holds_up_no_other(account: Account, now: datetime, receiver: Receiver) -> None:
    """Each try may take half a minute, and there may be a notice for each account."""
    away = Receiver()
    away.status = 503
    by_webhook(away)
    by_webhook(receiver)
    failed(account)
    OutboxMessage.objects.filter(pk=failed(account).pk).update(hold="uncertain")
    look(now)
    notice_delivery.send_due(now)
    assert (len(away.asked), len(receiver.asked)) == (1, 2)
    notice_delivery.send_due(now)
    assert (len(away.asked), len(receiver.asked)) == (2, 2), "its other notice"
    away.server.shutdown()
    away.server.server_close()


def test_a_fault_of_ours_with_one_notice_keeps_none_of_the_others(
    account: Account, now: datetime, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(notice_delivery, "_mail", fail)
    by_mail(account)
    by_webhook(receiver)
    failed(account)
    look(now)
    for _ in range(9):
        AlertNotice.objects.filter(state="waiting").update(next_try_at=now)
        notice_delivery.send_due(now)
    assert receiver.events() == ["incident.opened"]
    left = AlertNotice.objects.exclude(state="sent").get()
    assert (left.state, left.tries, left.result) == ("failed", 6, "Unexpected KeyError: see the log.")


def test_that_it_is_over_is_not_told_before_that_it_began(account: Account, receiver: Receiver, now: datetime) -> None:
    by_webhook(receiver)
    receiver.status = 503
    row = failed(account)
    tasks.watch(now=now)
    OutboxMessage.objects.filter(pk=row.pk).update(status="cancelled", hold="")
    look(now + MINUTE)
    look(now + 10 * MINUTE)
    AlertNotice.objects.filter(phase="begin").update(next_try_at=now + timedelta(hours=1))
    notice_delivery.send_due(now + 11 * MINUTE)
    assert receiver.events() == ["incident.opened"]
    receiver.status = 200
    for _ in range(2):
        notice_delivery.send_due(now + timedelta(hours=2))
    assert receiver.events() == ["incident.opened", "incident.opened", "incident.closed"]


def test_who_looks_while_another_posts_does_not_post_it_too(
    account: Account, receiver: Receiver, now: datetime
) -> None:
    """The claim is taken before the request: what comes in meanwhile finds nothing due."""
    by_webhook(receiver)
    failed(account)
    look(now)
    pk = AlertNotice.objects.get().pk
    assert AlertNotice.objects.claim(pk, now, now + notice_delivery.CLAIMED)
    assert notice_delivery.send_due(now + MINUTE) == 0
    assert not AlertNotice.objects.claim(pk, now + MINUTE, now + notice_delivery.CLAIMED)
    # Whoever claimed it was killed: it is told when the claim has run out, once.
    assert notice_delivery.send_due(now + notice_delivery.CLAIMED) == 1
    assert notice_delivery.send_due(now + 2 * notice_delivery.CLAIMED) == 0
    assert len(receiver.asked) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "Only https"),
        ("file:///etc/passwd", "Only https"),
        ("https://user:secret@example.com/", "no user name"),
        ("https://127.0.0.1/", "public Internet"),
        ("https://[::1]/", "public Internet"),
        ("https://10.1.2.3:8443/", "public Internet"),
        ("https://169.254.169.254/latest/", "public Internet"),
        ("https://[64:ff9b::7f00:1]/", "public Internet"),
        ("https://example.com/ x", "no web address"),
        ("https://example.com:99999/", "no web address"),
    ],
)
def test_what_a_webhook_may_not_reach(url: str, words: str) -> None:
    with pytest.raises(http_post.WebhookFailed, match=words) as refused:
        http_post.post(url, b"{}", {})
    assert refused.value.is_final


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, receiver.url
    with pytest.raises(http_post.WebhookFailed, match="redirects are not followed"):
        http_post.post(receiver.url, b"{}", {})
    assert len(receiver.asked) == 1
