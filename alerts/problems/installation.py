"""What needs a person and is about no account: hosts, the clock, push, disks, and mail that does not go out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Max, Min, Q
from django.urls import reverse

from alerts.events import triggers
from alerts.models import Kind, Webhook, WebhookDelivery
from alerts.problems.problem import ALERT_KEY, Problem
from mailbox import schedules
from mailbox.models import Account, PushHeartbeat, RestoreProof, StoreMiss, WorkerHeartbeat
from mailbox.models.operations import DISK_FREE_PERCENT
from outbox.models import OutboxMessage, SendingSwitch

LATE_AFTER = timedelta(minutes=10)  # beyond what the sweep (half a minute) and a busy worker explain
SCHEDULE_LATE_AFTER = timedelta(minutes=5)
WEBHOOK_FAILS_AFTER = timedelta(minutes=15)
# While no worker runs these say nothing: what they look at is written by workers.
TOLD_BY_WORKERS = frozenset({Kind.HOST, Kind.SCHEDULES, Kind.DISK, Kind.BROKER, Kind.LATE})


def find(now: datetime) -> Iterator[Problem]:
    yield from _hosts(now)
    yield from _schedules(now)
    yield from _push(now)
    yield from _disks(now)
    yield from _stores(now)
    yield from _brokers(now)
    yield from _restore(now)
    yield from _events(now)
    yield from paused()
    yield from _late(now)


def _hosts(now: datetime) -> Iterator[Problem]:
    """A host whose workers were there within a day and are not, while others are. One that is stopped in order takes
    its heartbeats along."""
    alive = set(WorkerHeartbeat.objects.alive(now).values_list("host", flat=True))
    for host, seen in WorkerHeartbeat.objects.order_by().values_list("host").annotate(Max("seen_at")):
        if host not in alive:
            words = f"The workers of {host} were last seen {seen:%Y-%m-%d %H:%M} UTC; others work on."
            yield _problem(f"host:{host}"[:100], Kind.HOST, words)


def _schedules(now: datetime) -> Iterator[Problem]:
    since = schedules.overdue_since(now)
    if since and now - since >= SCHEDULE_LATE_AFTER:
        words = (
            f"Nothing runs by the clock since {since:%Y-%m-%d %H:%M} UTC: workers take tasks, but no schedule starts."
        )
        yield _problem("schedules", Kind.SCHEDULES, words)


def _push(now: datetime) -> Iterator[Problem]:
    wanted = Account.objects.syncing().filter(push_enabled=True, imap__needs_sign_in_since=None)
    if not settings.PUSH_ENABLED or not wanted.exists():
        return
    if not PushHeartbeat.objects.alive(now).exists():
        row = PushHeartbeat.objects.order_by("-seen_at").first()
        seen = f"was last seen {row.seen_at:%Y-%m-%d %H:%M} UTC" if row else "has not run yet"
        yield _problem("push", Kind.PUSH, f"The push process {seen}: new mail comes with the next minute's round.")


def _disks(now: datetime) -> Iterator[Problem]:
    beats = WorkerHeartbeat.objects.alive(now).exclude(fetching_stopped_since=None).order_by()
    for host, since in beats.values_list("host").annotate(Min("fetching_stopped_since")):
        words = f"{host} fetches no mail since {since:%Y-%m-%d %H:%M} UTC: its disk is nearly full. Sending goes on."
        yield _problem(f"disk-full:{host}"[:100], Kind.DISK, words)
    low = WorkerHeartbeat.objects.alive(now).filter(disk_free_percent__lt=DISK_FREE_PERCENT)
    for host, free in low.order_by().values_list("host").annotate(Min("disk_free_percent")):
        yield _problem(f"disk:{host}"[:100], Kind.DISK, f"The data folder's disk on {host} has {free} % free.")


def _stores(now: datetime) -> Iterator[Problem]:
    """Hosts whose workers cannot use the raw store and so take no work, and those that lacked a file lately."""
    for each in WorkerHeartbeat.objects.without_store(now):
        words = f"Workers of {each.host} cannot write and read stored mail: they take no sync and no delivery."
        yield _problem(f"store:{each.host}"[:100], Kind.STORE, words)
    for miss in StoreMiss.objects.filter(last_at__gte=now - StoreMiss.KEPT):
        words = f"Stored mail is out of reach on {miss.host} since {miss.first_at:%Y-%m-%d %H:%M} UTC: {miss.file}."
        yield _problem(f"store-miss:{miss.host}"[:100], Kind.STORE, words)


def _brokers(now: datetime) -> Iterator[Problem]:
    for each in WorkerHeartbeat.objects.without_broker(now):
        words = f"{each.host} does not reach the broker (Redis): tasks go by way of the database, within half a minute."
        yield _problem(f"broker:{each.host}"[:100], Kind.BROKER, words)


def _restore(now: datetime) -> Iterator[Problem]:
    """The newest proof failed, or is old. Who never proved a restore hears nothing of it here."""
    newest = RestoreProof.objects.order_by("-pk").first()
    if newest is None:
        return
    if newest.fault:
        words = f"The restore tried at {newest.proven_at:%Y-%m-%d %H:%M} UTC failed. {newest.detail}"
        yield _problem("restore:failed", Kind.RESTORE, words)
    elif newest.proven_at < now - RestoreProof.STALE_AFTER:
        words = (
            f"A restore was last proven {newest.proven_at:%Y-%m-%d %H:%M} UTC: make a backup and run manage.py prove."
        )
        yield _problem("restore:old", Kind.RESTORE, words)


def _events(now: datetime) -> Iterator[Problem]:
    """Webhooks for events that fail, refused some, or wanted no more (410); and triggers that a migrate which did not
    come to its end has left out."""
    if missing := triggers.missing():
        words = f"{len(missing)} triggers are missing, so some events are not told: run manage.py migrate."
        yield _problem("events:triggers", Kind.EVENTS, words)
    given_up = Webhook.objects.filter(is_on=True, deliveries__state=WebhookDelivery.State.FAILED)
    refused = dict(given_up.order_by().values_list("pk").annotate(Count("deliveries")))
    for hook in Webhook.objects.order_by("pk"):
        path = reverse("alerts:webhook", args=[hook.pk])
        since = f"{hook.failing_since:%Y-%m-%d %H:%M} UTC" if hook.failing_since else ""
        if since and not hook.is_on:
            words = f"Webhook {hook.name} is off since {since}: its receiver answered that it wants nothing more (410)."
            yield _problem(f"events:off:{hook.pk}", Kind.EVENTS, words, path)
        elif hook.failing_since and now - hook.failing_since >= WEBHOOK_FAILS_AFTER:
            words = f"Webhook {hook.name} takes nothing since {since}: events wait for seven days."
            yield _problem(f"events:fails:{hook.pk}", Kind.EVENTS, words, path)
        if number := refused.get(hook.pk):
            words = f"Webhook {hook.name} refused {number} events, which were given up: deliver them again, or see why."
            yield _problem(f"events:refused:{hook.pk}", Kind.EVENTS, words, path)


def paused() -> Iterator[Problem]:
    switch = SendingSwitch.objects.filter(paused_at__isnull=False).first()
    if switch is not None and switch.paused_at is not None:
        words = f"All sending is paused since {switch.paused_at:%Y-%m-%d %H:%M} UTC. {switch.reason}".strip()
        yield _problem("paused", Kind.PAUSED, words)


def _late(now: datetime) -> Iterator[Problem]:
    """Mail that workers might send at once and do not. An account with a rate limit has mail that waits in order."""
    if SendingSwitch.objects.filter(paused_at__isnull=False).exists():
        return
    is_free = Q(smtp__next_allowed_at=None) | Q(smtp__next_allowed_at__lte=now - LATE_AFTER)
    free = Account.objects.sending().filter(is_free, messages_per_minute=None)
    late = OutboxMessage.objects.due(now - LATE_AFTER).filter(account__in=free.values("pk"))
    late = late.exclude(idempotency_key__startswith=ALERT_KEY)  # these are an incident of their own kind
    oldest = late.aggregate(oldest=Min("next_attempt_at"))["oldest"]
    if oldest is not None:
        words = f"Mail that was due at {oldest:%Y-%m-%d %H:%M} UTC has not been tried: workers are busy or stuck."
        yield _problem("late", Kind.LATE, words, f"{reverse('outbox:list')}?state=queued")


def _problem(key: str, kind: Kind, sentence: str, path: str = "") -> Problem:
    return Problem(key, kind, None, sentence[:500], path or reverse("dashboard"))
