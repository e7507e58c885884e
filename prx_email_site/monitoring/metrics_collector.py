"""Prometheus metrics of the installation. The number of labels is bounded: accounts by pk, the furthest behind only."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate

from django.db import connection
from django.db.models import Count, Min, Sum
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from alerts.models import AlertIncident, AlertNotice
from mailbox.logs import redact
from mailbox.models import (
    Counter,
    Quarantine,
    RestoreProof,
    StorageUse,
    SyncRunFolder,
    SyncState,
)
from mailbox.plain_words import without_controls
from outbox.models import DeliveryAttempt, OutboxMessage, SendingSwitch
from prx_email_site.monitoring import host_metrics, program_metrics
from prx_email_site.monitoring.metric_families import Bounds, gauge, labelled

ACCOUNTS_SHOWN = 100  # the accounts furthest behind
INCIDENTS_SHOWN = 100  # the oldest
ATTEMPTS_READ = 5000  # the newest attempts, so that the cost of a scrape does not grow
WINDOW = timedelta(hours=1)
BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)  # seconds
RUNS_READ = 5000  # likewise, the newest reports of a folder with news
TAKEN = (DeliveryAttempt.Outcome.ACCEPTED, DeliveryAttempt.Outcome.PARTIAL)
OPEN = ("pending", "sending", "failed")


class InstallationCollector(Collector):
    """All metrics as of `now`."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield nothing: without this, registering would call collect() and query the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics, for prometheus_client, at each scrape. Raises DatabaseError."""
        began, bounds = time.monotonic(), Bounds()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        words = "Time of the smallest question to the database."
        yield gauge("database_answer_seconds", words, time.monotonic() - began)
        yield from _outbox(self._now)
        yield from _attempts(self._now)
        yield from _sync(self._now, bounds)
        yield from _fetched(self._now)
        yield from host_metrics.of_hosts(self._now, bounds)
        yield from host_metrics.of_processes(self._now, bounds)
        yield from host_metrics.of_database_failures(bounds)
        yield from _stored(self._now)
        yield from program_metrics.of_webhooks(self._now, bounds)
        yield from program_metrics.of_api()
        yield from _incidents(bounds)
        yield bounds.family()


def _outbox(now: datetime) -> Iterator[GaugeMetricFamily]:
    groups = (
        OutboxMessage.objects.filter(status__in=OPEN).order_by().values_list("status", "hold").annotate(Count("pk"))
    )
    rows = [((status, hold), float(number)) for status, hold, number in groups]
    yield labelled("outbox_messages", "Mail that has not gone out, by status and hold.", ("status", "hold"), rows)
    oldest = OutboxMessage.objects.due(now).aggregate(oldest=Min("next_attempt_at"))["oldest"]
    words = "How long the mail that has been due longest waits; 0 when none is due."
    yield gauge("outbox_oldest_due_seconds", words, (now - oldest).total_seconds() if oldest else 0)
    paused = SendingSwitch.objects.filter(paused_at__isnull=False).exists()
    yield gauge("sending_paused", "1 while all sending is paused.", float(paused))


def _attempts(now: datetime) -> Iterator[GaugeMetricFamily | GaugeHistogramMetricFamily]:
    fields = ["started_at", "finished_at", "outcome", "reply_code"]
    fields += ["outbox__created_at", "outbox__send_at", "outbox__mime_size"]
    newest = list(DeliveryAttempt.objects.order_by("-pk").values_list(*fields)[:ATTEMPTS_READ])
    since = now - WINDOW
    if len(newest) == ATTEMPTS_READ:
        since = max(since, newest[-1][0])
    words = "The time that prx_email_attempts, _accept_seconds and _sent_bytes cover: an hour, or as far as 5000 go."
    yield gauge("attempts_window_seconds", words, (now - since).total_seconds())
    within = [row for row in newest if row[0] >= since]
    tally = Tally((outcome or "running", f"{code // 100}xx" if code else "none") for _, _, outcome, code, *_ in within)
    rows = [(key, float(number)) for key, number in sorted(tally.items())]
    yield labelled("attempts", "Attempts to deliver, by outcome and class of reply code.", ("outcome", "code"), rows)
    waits = [
        (finished - max(filter(None, (created, send_at)))).total_seconds()
        for _, finished, outcome, _, created, send_at, _ in within
        if finished and outcome == DeliveryAttempt.Outcome.ACCEPTED
    ]
    sent = sum(size for _, _, outcome, _, _, _, size in within if outcome in TAKEN)
    yield gauge("sent_bytes", "Of mail that a server took, without its attempts' own header fields.", sent)
    yield _histogram("accept_seconds", "From the click, or the time chosen, until the server accepted the mail.", waits)


def _histogram(name: str, words: str, values: list[float]) -> GaugeHistogramMetricFamily:
    counts = [0] * (len(BUCKETS) + 1)
    for value in values:
        counts[bisect_left(BUCKETS, value)] += 1
    ends = [*(str(bound) for bound in BUCKETS), "+Inf"]
    buckets = [(end, float(count)) for end, count in zip(ends, accumulate(counts), strict=True)]
    return GaugeHistogramMetricFamily(f"prx_email_{name}", words, buckets=buckets, gsum_value=sum(values))


def _sync(now: datetime, bounds: Bounds) -> Iterator[GaugeMetricFamily]:
    """The lag of each syncing account: seconds since the last success of its folder furthest behind."""
    states = SyncState.objects.filter(
        folder__sync_enabled=True, folder__gone_at=None, folder__account__sync_enabled=True
    )
    worst = states.order_by().values_list("folder__account").annotate(Min("last_success_at"), Count("pk"))
    never = set(states.filter(last_success_at=None).values_list("folder__account", flat=True))
    known = [(pk, (now - last).total_seconds()) for pk, last, _ in worst if last and pk not in never]
    rows = bounds.first("accounts", sorted(known, key=lambda each: -each[1]), ACCOUNTS_SHOWN)
    words = "Since when the folder that lags most was up to date; the 100 accounts furthest behind."
    yield labelled("sync_lag_seconds", words, ("account",), [((str(pk),), lag) for pk, lag in rows])
    yield gauge("sync_never_up_to_date", "Accounts with a folder that was never up to date.", len(never))
    failing = states.filter(failure_count__gt=0).order_by().values_list("last_error_code").annotate(Count("pk"))
    errors = [((code or "other",), float(number)) for code, number in failing]
    yield labelled("sync_failing_folders", "Folders whose last sync failed, by error.", ("error",), errors)
    yield gauge("quarantined", "Messages that could not be fetched or read.", Quarantine.objects.open().count())
    day = (
        Counter.objects.filter(hour__gte=now - timedelta(days=1)).order_by().values_list("name").annotate(Sum("value"))
    )
    events = [((name,), float(value)) for name, value in day]
    yield labelled("events_last_day", "Syncs, sends, retries and messages of the last 24 hours.", ("event",), events)


def _fetched(now: datetime) -> Iterator[GaugeMetricFamily]:
    newest = list(SyncRunFolder.objects.order_by("-pk").values_list("finished_at", "bytes")[:RUNS_READ])
    since = now - WINDOW
    if len(newest) == RUNS_READ:
        since = max(since, newest[-1][0])
    words = "The time that prx_email_fetched_bytes covers: an hour, or as far as 5000 reports of folders go."
    yield gauge("fetched_window_seconds", words, (now - since).total_seconds())
    yield gauge("fetched_bytes", "Of mail that was fetched.", sum(size for at, size in newest if at >= since))


def _stored(now: datetime) -> Iterator[GaugeMetricFamily]:
    uses = StorageUse.objects.order_by().values_list("kind").annotate(Sum("size"), Sum("items"))
    sizes = list(uses)
    rows = [((kind,), float(size)) for kind, size, _ in sizes]
    yield labelled("storage_bytes", "What is kept, as it was counted last.", ("kind",), rows)
    items = [((kind,), float(number)) for kind, _, number in sizes]
    yield labelled("storage_items", "What is kept, as it was counted last.", ("kind",), items)
    proven = RestoreProof.objects.filter(fault="").order_by("-pk").values_list("proven_at", flat=True).first()
    ages: list[tuple[Sequence[str], float]] = [((), (now - proven).total_seconds())] if proven else []
    yield labelled("restore_proven_seconds", "How long ago a restore was last proven; absent if never.", (), ages)


def _without_addresses(sentence: str) -> str:
    return redact(without_controls(sentence))  # rows of an earlier release may have controls


def _incidents(bounds: Bounds) -> Iterator[GaugeMetricFamily]:
    """Open incidents, with the sentence of dashboard and alerts as a label; addresses in it are redacted."""
    open_ones = AlertIncident.objects.open().filter(absent_since=None).order_by("pk")[: INCIDENTS_SHOWN + 1]
    rows = bounds.first("incidents", list(open_ones), INCIDENTS_SHOWN)
    told = [((row.kind, str(row.account_id or ""), _without_addresses(row.sentence)), float(row.count)) for row in rows]
    yield labelled("incident", "What needs a person now; the 100 oldest.", ("kind", "account", "sentence"), told)
    waiting = AlertNotice.objects.order_by().exclude(state="sent").values_list("state").annotate(Count("pk"))
    rows_of_state = [((state,), float(number)) for state, number in waiting]
    yield labelled("alert_notices", "Alerts that wait, or could not be delivered.", ("state",), rows_of_state)
