"""Finds problems that concern no single account: hosts, schedules, push, disks, stores, restores, events, late mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

from alerts.events import triggers
from alerts.models import Kind, Webhook, WebhookDelivery
from alerts.problems.problem import ALERT_KEY, Problem, isolated, said, utc
from mailbox import schedules
from mailbox.localized import grouped, listed
from mailbox.models import Account, PushHeartbeat, RestoreProof, StoreMiss, StoreNote, WorkerHeartbeat
from mailbox.models.installation_health import DISK_FREE_PERCENT
from outbox.models import OutboxMessage, SendingSwitch

LATE_AFTER = timedelta(minutes=10)  # longer than the sweep's interval (half a minute) or a busy worker explains
SCHEDULE_LATE_AFTER = timedelta(minutes=5)
WEBHOOK_FAILS_AFTER = timedelta(minutes=15)
# These kinds are unknown while no worker runs, since workers write the rows they are found by.
TOLD_BY_WORKERS = frozenset({Kind.HOST, Kind.SCHEDULES, Kind.DISK, Kind.BROKER, Kind.LATE})


def find(now: datetime) -> Iterator[Problem]:
    """The problems of the installation at `now`, in no order of urgency."""
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
    """Hosts whose workers ran within the last day and do not now, while others do. A worker that is stopped properly
    deletes its heartbeat."""
    alive = set(WorkerHeartbeat.objects.alive(now).values_list("host", flat=True))
    for host, seen in WorkerHeartbeat.objects.order_by().values_list("host").annotate(Max("seen_at")):
        if host not in alive:
            words = said(
                _("The workers of %(host)s were last seen %(time)s; others work on."), host=host, time=utc(seen)
            )
            yield _problem(f"host:{host}"[:100], Kind.HOST, words)


def _schedules(now: datetime) -> Iterator[Problem]:
    since = schedules.overdue_since(now)
    if since and now - since >= SCHEDULE_LATE_AFTER:
        text = _("Nothing runs by the clock since %(time)s: workers take tasks, but no schedule starts.")
        words = said(text, time=utc(since))
        yield _problem("schedules", Kind.SCHEDULES, words)


def _push(now: datetime) -> Iterator[Problem]:
    wanted = Account.objects.syncing().filter(push_enabled=True, imap__needs_sign_in_since=None)
    if not settings.PUSH_ENABLED or not wanted.exists():
        return
    if not PushHeartbeat.objects.alive(now).exists():
        row = PushHeartbeat.objects.order_by("-seen_at").first()
        never = _("The push process has not run yet: new mail comes with the next minute's round.")
        text = _("The push process was last seen %(time)s: new mail comes with the next minute's round.")
        yield _problem("push", Kind.PUSH, said(text, time=utc(row.seen_at)) if row else said(never))


def _disks(now: datetime) -> Iterator[Problem]:
    beats = WorkerHeartbeat.objects.alive(now).exclude(fetching_stopped_since=None).order_by()
    for host, since in beats.values_list("host").annotate(Min("fetching_stopped_since")):
        text = _("%(host)s fetches no mail since %(time)s: its disk is nearly full. Sending goes on.")
        words = said(text, host=host, time=utc(since))
        yield _problem(f"disk-full:{host}"[:100], Kind.DISK, words)
    low = WorkerHeartbeat.objects.alive(now).filter(disk_free_percent__lt=DISK_FREE_PERCENT)
    for host, free in low.order_by().values_list("host").annotate(Min("disk_free_percent")):
        text = _("The data folder's disk on %(host)s has %(number)s %% free.")
        yield _problem(f"disk:{host}"[:100], Kind.DISK, said(text, host=host, number=free))
    # Of the same disk, it is the same number.
    elsewhere = WorkerHeartbeat.objects.alive(now).filter(store_disk_free_percent__lt=DISK_FREE_PERCENT)
    elsewhere = elsewhere.exclude(disk_free_percent=F("store_disk_free_percent")).order_by()
    for host, free in elsewhere.values_list("host").annotate(Min("store_disk_free_percent")):
        text = _("The disk with stored mail, as %(host)s sees it, has %(number)s %% free.")
        yield _problem(f"disk-store:{host}"[:100], Kind.DISK, said(text, host=host, number=free))


def _stores(now: datetime) -> Iterator[Problem]:
    """Hosts whose workers cannot use the raw store, so that they take no work, and hosts that missed a file lately."""
    for each in WorkerHeartbeat.objects.without_store(now):
        text = _("Workers of %(host)s cannot write and read stored mail: they take no sync and no delivery.")
        words = said(text, host=each.host)
        yield _problem(f"store:{each.host}"[:100], Kind.STORE, words)
    if others := StoreNote.others():
        yield _problem("store-shared", Kind.STORE, partial(store_is_shared, others))
    for miss in StoreMiss.objects.filter(last_at__gte=now - StoreMiss.KEPT):
        text = _("Stored mail is out of reach on %(host)s since %(time)s: %(file)s.")
        words = said(text, host=miss.host, time=utc(miss.first_at), file=miss.file)
        yield _problem(f"store-miss:{miss.host}"[:100], Kind.STORE, words)


def store_is_shared(others: list[str]) -> str:
    """That these other installations use the raw store, in the present language."""
    words = gettext(
        "Another installation uses the same store of mail (%(hosts)s), so nothing is swept from it. Give that one a "
        "store of its own, or say that it is gone: “manage.py store_users”."
    )
    return words % {"hosts": listed(isolated(each) for each in others)}


def _brokers(now: datetime) -> Iterator[Problem]:
    for each in WorkerHeartbeat.objects.without_broker(now):
        text = _("%(host)s does not reach the broker (Redis): tasks go by way of the database, within half a minute.")
        words = said(text, host=each.host)
        yield _problem(f"broker:{each.host}"[:100], Kind.BROKER, words)


def _restore(now: datetime) -> Iterator[Problem]:
    """The newest proof of a restore failed, or is old, or was of an old backup. No problem where none was ever made."""
    newest = RestoreProof.objects.order_by("-pk").first()
    if newest is None:
        return
    if newest.fault:
        text = _("The restore tried at %(time)s failed. %(detail)s")
        words = said(text, time=utc(newest.proven_at), detail=newest.detail)
        yield _problem("restore:failed", Kind.RESTORE, words)
    elif newest.proven_at < now - RestoreProof.STALE_AFTER:
        text = _("A restore was last proven %(time)s: make a backup and run “manage.py prove”.")
        words = said(text, time=utc(newest.proven_at))
        yield _problem("restore:old", Kind.RESTORE, words)
    elif newest.backup_at and newest.backup_at < now - RestoreProof.STALE_AFTER:
        text = _("The newest backup that was proven was made %(time)s: look why there is no newer one.")
        words = said(text, time=utc(newest.backup_at))
        yield _problem("restore:old", Kind.RESTORE, words)


def _events(now: datetime) -> Iterator[Problem]:
    """Event webhooks that fail, have refused events or were switched off by 410; and missing triggers, as after a
    migrate that did not finish."""
    if missing := triggers.missing():
        text = _("Triggers are missing (%(number)s), so some events are not told: run “manage.py migrate”.")
        words = said(text, number=len(missing))
        yield _problem("events:triggers", Kind.EVENTS, words)
    given_up = WebhookDelivery.objects.given_up().filter(webhook__is_on=True)
    refused = dict(given_up.order_by().values_list("webhook").annotate(Count("pk")))
    for hook in Webhook.objects.order_by("pk"):
        path = reverse("alerts:webhook", args=[hook.pk])
        since = utc(hook.failing_since) if hook.failing_since else ""
        if since and not hook.is_on:
            text = _("Webhook %(name)s is off since %(time)s: its receiver answered that it wants nothing more (410).")
            words = said(text, name=hook.name, time=since)
            yield _problem(f"events:off:{hook.pk}", Kind.EVENTS, words, path)
        elif hook.failing_since and now - hook.failing_since >= WEBHOOK_FAILS_AFTER:
            text = _("Webhook %(name)s takes nothing since %(time)s: events wait for seven days.")
            words = said(text, name=hook.name, time=since)
            yield _problem(f"events:fails:{hook.pk}", Kind.EVENTS, words, path)
        if number := refused.get(hook.pk):
            words = partial(_refused, hook.name, number)
            yield _problem(f"events:refused:{hook.pk}", Kind.EVENTS, words, path)


def paused() -> Iterator[Problem]:
    """The problem that all sending is paused, if it is."""
    switch = SendingSwitch.objects.filter(paused_at__isnull=False).first()
    if switch is not None and switch.paused_at is not None:
        words = said(
            _("All sending is paused since %(time)s. %(reason)s"), time=utc(switch.paused_at), reason=switch.reason
        )
        yield _problem("paused", Kind.PAUSED, words)


def _late(now: datetime) -> Iterator[Problem]:
    """Mail that is due and not sent, of accounts that may send now and have no rate limit (with one, waiting is
    normal)."""
    if SendingSwitch.objects.filter(paused_at__isnull=False).exists():
        return
    is_free = Q(smtp__next_allowed_at=None) | Q(smtp__next_allowed_at__lte=now - LATE_AFTER)
    free = Account.objects.sending().filter(is_free, messages_per_minute=None)
    late = OutboxMessage.objects.due(now - LATE_AFTER).filter(account__in=free.values("pk"))
    late = late.exclude(idempotency_key__startswith=ALERT_KEY)  # alert mails have a kind of their own
    oldest = late.aggregate(oldest=Min("next_attempt_at"))["oldest"]
    if oldest is not None:
        words = said(
            _("Mail that was due at %(time)s has not been tried: workers are busy or stuck."), time=utc(oldest)
        )
        yield _problem("late", Kind.LATE, words, f"{reverse('outbox:list')}?state=queued")


def _refused(name: str, number: int) -> str:
    words = ngettext(
        "Webhook %(name)s refused %(number)s event, which was given up: deliver it again, or see why.",
        "Webhook %(name)s refused %(number)s events, which were given up: deliver them again, or see why.",
        number,
    )
    return words % {"name": isolated(name), "number": grouped(number)}


def _problem(key: str, kind: Kind, words: Callable[[], str], path: str = "") -> Problem:
    return Problem(key, kind, None, words, path or reverse("dashboard"))
