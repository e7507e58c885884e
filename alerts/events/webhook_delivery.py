"""Posts events to webhooks: at least once, in order, by one worker at a time for each webhook.

First each wanted event gets a WebhookDelivery, in the transaction that moves the webhook's cursor; then waiting
deliveries are posted, oldest first. If the receiver does not answer, or answers 5xx, 408, 425 or 429, all its
deliveries wait, with growing backoff, and none is skipped. If it refuses one event (another 4xx), the others are
posted meanwhile, except those with the same subject (the same mail); after REFUSALS attempts that event is given up,
and a person may have it delivered again. 410 switches the webhook off.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from alerts import http_post as http
from alerts.events import numbers
from alerts.models import Webhook, WebhookDelivery
from mailbox import network as network_switch
from mailbox import tracing
from mailbox.clocks import is_over, waits
from mailbox.credentials import DecryptionFailed
from mailbox.logs import event
from outbox.models import SendingSwitch

logger = logging.getLogger(__name__)
State = WebhookDelivery.State
LEASE = timedelta(seconds=90)  # longer than http.IN_ALL; if a worker dies, another may take the webhook after this
AT_ONCE = 500  # events that get their delivery in one transaction
BUDGET_SECONDS = 50.0  # of one run; the next one goes on
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=1)
REFUSALS = 8  # attempts of an event that the receiver refuses
PREFIX = "whsec_"


@dataclass(frozen=True)
class Posted:
    """The result of one attempt. `is_away`: the receiver could not be reached or could not process it, so other events
    would fail too."""

    is_sent: bool
    sentence: str
    is_away: bool = False
    is_over: bool = False  # the receiver answered 410 (Gone): it wants no more events


def new_secret() -> str:
    """A random secret of 32 bytes, in the form of Standard Webhooks: "whsec_" and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The key bytes of a Standard Webhooks secret. Raises ValueError when it is not one."""
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("A secret is whsec_ and 24 to 64 bytes in base64.")
    return key


def signed(secret: str, identifier: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: HMAC-SHA256 of id.timestamp.body. at: Unix seconds. Raises ValueError."""
    digest = hmac.new(key_of(secret), f"{identifier}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": identifier, "webhook-timestamp": str(at), "webhook-signature": signature}


def wait_after(tries: int) -> timedelta:
    """The wait after so many failures in a row, 1 or more: doubled each time, at most LONGEST_WAIT."""
    seconds: float = FIRST_WAIT.total_seconds() * 2 ** min(tries - 1, 20)
    return min(timedelta(seconds=seconds), LONGEST_WAIT)


def _due(now: datetime) -> QuerySet[Webhook]:
    """The webhooks that may be posted to now and whose lease is free."""
    free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now) | Q(lease_expires_at__gt=now + 2 * LEASE)
    return Webhook.objects.filter(free, is_over("next_try_at", now, LONGEST_WAIT), is_on=True)


def due(now: datetime) -> list[int]:
    """The pks of the webhooks that may be posted to now."""
    return list(_due(now).values_list("pk", flat=True))


def send_all(network: http.WebhookNetwork = http.OUTSIDE) -> int:
    """Post the due deliveries of all webhooks; return how many were attempted.

    Posts nothing while sending is paused by the restore guard (paused by nobody): a copy of this database must not post
    to the receivers of the original.
    """
    switch = SendingSwitch.current()
    if network_switch.is_off() or (switch.paused_at is not None and switch.paused_by_id is None):
        return 0
    tried = 0
    for pk in due(timezone.now()):
        try:
            tried += send(pk, network)
        except Exception:  # a fault of ours with one webhook keeps nothing from the others
            logger.exception("webhook_crashed", extra={"fields": {"webhook": pk}})
    return tried


def send(pk: int, network: http.WebhookNetwork = http.OUTSIDE, budget: float = BUDGET_SECONDS) -> int:
    """Post the due deliveries of one webhook, unless another worker does; return how many were attempted.

    budget: seconds, after which no further one is begun.
    """
    now, token = timezone.now(), secrets.token_hex(16)
    # One conditional UPDATE, so that of two workers that found the lease free one gets it.
    if _due(now).filter(pk=pk).update(lease_token=token, lease_expires_at=now + LEASE) != 1:
        return 0
    tried, ends, skipped = 0, time.monotonic() + budget, set[str]()
    try:
        while time.monotonic() < ends:
            _plan(pk, token)
            delivery = _next(pk, skipped)
            if delivery is None or not _renew(pk, token):
                break
            tried += 1
            posted = _post(delivery, network)
            if not _store_result(delivery, posted, token) or posted.is_away or posted.is_over:
                break
            if not posted.is_sent and delivery.event is not None:
                skipped.add(delivery.event.subject)
    finally:
        Webhook.objects.filter(pk=pk, lease_token=token).update(lease_token="", lease_expires_at=None)
    return tried


def _ours(pk: int, token: str) -> Any:
    return Webhook.objects.filter(pk=pk, lease_token=token, is_on=True)


def _renew(pk: int, token: str) -> bool:
    return bool(_ours(pk, token).update(lease_expires_at=timezone.now() + LEASE))


def _plan(pk: int, token: str) -> None:
    """Create deliveries for the events after the cursor, as long as few are waiting."""
    if WebhookDelivery.objects.waiting().filter(webhook=pk)[AT_ONCE:].exists():
        return
    end, now = numbers.give(), timezone.now()
    webhook = Webhook.objects.get(pk=pk)
    accounts = numbers.account_keys()
    if not webhook.all_accounts:
        accounts &= set(webhook.accounts.values_list("pk", flat=True))
    found = numbers.after(webhook.cursor, accounts, webhook.wanted_kinds(), AT_ONCE)
    reached = found[-1].number or 0 if found else 0
    cursor = reached if len(found) == AT_ONCE else max(reached, end)
    if cursor <= webhook.cursor:
        return
    with transaction.atomic():
        if not _ours(pk, token).filter(cursor=webhook.cursor).update(cursor=cursor):
            return
        rows = [WebhookDelivery(webhook=webhook, event=each, next_try_at=now, created_at=now) for each in found]
        WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def _next(pk: int, skipped: set[str]) -> WebhookDelivery | None:
    """The oldest due delivery whose subject has no earlier delivery waiting, and is not in `skipped`; None if none."""
    now, held = timezone.now(), set(skipped)
    waiting = WebhookDelivery.objects.waiting().filter(webhook=pk).select_related("event", "webhook")
    # Tests first, as a person waits for their result. By the bare column, SQLite would go through all deliveries of the
    # webhook in their order, for the few that wait.
    for row in waiting.order_by(Coalesce("event_id", 0), "pk")[: 2 * AT_ONCE].iterator():
        subject = row.event.subject if row.event else f"test {row.pk}"
        if not waits(row.next_try_at, now, LONGEST_WAIT) and subject not in held:
            return row
        held.add(subject)
    return None


def payload_of(delivery: WebhookDelivery) -> tuple[str, bytes]:
    """(webhook-id, body). Both are the same at each attempt."""
    if (event := delivery.event) is None:
        at, kind, data = delivery.created_at, "test", dict[str, Any]()
        identifier = f"test_{delivery.pk}_{int(at.timestamp())}"
    else:
        at, kind, data, identifier = event.created_at, event.kind, event.facts(), event.identifier
    return identifier, json.dumps({"type": kind, "timestamp": at.isoformat(), "data": data}).encode()


def _post(delivery: WebhookDelivery, network: http.WebhookNetwork) -> Posted:
    begun = time.monotonic()
    outbox_id = delivery.event.outbox_pk if delivery.event else None
    posted = _posted(delivery, network, tracing.headers(outbox_id))
    outcome = "accepted" if posted.is_sent else "away" if posted.is_away else "refused"
    about: dict[str, Any] = {"webhook": delivery.webhook.pk, "outbox_id": outbox_id, "outcome": outcome}
    event(logger, "webhook_posted", **about, seconds=round(time.monotonic() - begun, 3))
    return posted


def _posted(delivery: WebhookDelivery, network: http.WebhookNetwork, traced: dict[str, str]) -> Posted:
    identifier, body = payload_of(delivery)
    try:
        headers = traced | signed(delivery.webhook.secret, identifier, int(time.time()), body)
        return Posted(True, http.post(delivery.webhook.url, body, headers, network))
    except http.WebhookFailed as error:
        return Posted(False, str(error), is_away=not error.is_refusal, is_over=error.status == 410)
    except (DecryptionFailed, ValueError) as error:  # ValueError: the stored secret is none
        return Posted(False, str(error), is_away=True)


def _store_result(delivery: WebhookDelivery, posted: Posted, token: str) -> bool:
    """Store the result of an attempt; False when another worker has taken over meanwhile."""
    # Only refusals of this event count toward REFUSALS, not an unreachable receiver.
    now, tries = timezone.now(), delivery.tries + (0 if posted.is_away else 1)
    row = WebhookDelivery.objects.filter(pk=delivery.pk, state=State.WAITING)
    written = {"tries": tries, "result": posted.sentence[:300]}
    webhook = delivery.webhook
    with transaction.atomic():
        if not _renew(webhook.pk, token):
            return False
        ours = _ours(webhook.pk, token)
        if posted.is_sent:
            row.update(**written, state=State.SENT, ended_at=now)
        elif delivery.event is None or (tries >= REFUSALS and not posted.is_away):
            row.update(**written, state=State.FAILED, ended_at=now)
        else:
            row.update(**written, next_try_at=now if posted.is_away else now + wait_after(tries))
        if posted.is_over:
            ours.update(is_on=False, failing_since=now)  # opens an incident (problems.installation)
            event(logger, "webhook_switched_off", logging.WARNING, webhook=webhook.pk, reply=posted.sentence)
        elif posted.is_away and delivery.event is not None:
            wait = wait_after(webhook.failures + 1)
            since = webhook.failing_since or now
            ours.update(failures=webhook.failures + 1, failing_since=since, next_try_at=now + wait)
        elif not posted.is_away:
            ours.update(failures=0, failing_since=None)
    return True


def deliver_again(deliveries: Any) -> int:
    """Have ended deliveries posted again, with the same webhook-id, as a person asked; return how many."""
    over = deliveries.exclude(state=State.WAITING)
    return int(over.update(state=State.WAITING, tries=0, next_try_at=timezone.now(), ended_at=None))


def ask_for_test(webhook: Webhook) -> WebhookDelivery:
    """Create a test delivery, to see whether it arrives. It ends the webhook's current backoff."""
    Webhook.objects.filter(pk=webhook.pk).update(next_try_at=timezone.now())
    return WebhookDelivery.objects.create(webhook=webhook, next_try_at=timezone.now())
