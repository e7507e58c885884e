"""Prometheus metrics of the hosts: workers, other processes, disks, stored mail, broker, push, leases, database."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from mailbox.models import DatabaseFailure, Lease, ProcessHeartbeat, PushHeartbeat, StoreMiss, WorkerHeartbeat
from prx_email_site.monitoring.metric_families import Bounds, labelled

ROWS_READ = 200  # at most, of clusters, of processes and of counters


def of_hosts(now: datetime, bounds: Bounds) -> Iterator[GaugeMetricFamily]:
    """Metrics of the workers' hosts, of push connections and leases."""
    beats = bounds.first("clusters", list(WorkerHeartbeat.objects.order_by("-seen_at")[: ROWS_READ + 1]), ROWS_READ)
    alive = [beat for beat in beats if WorkerHeartbeat.is_recent(beat.seen_at, now)]
    hosts = Tally({beat.host: 0 for beat in beats})
    hosts.update(beat.host for beat in alive)
    by_host = [((host,), float(number)) for host, number in sorted(hosts.items())]
    yield labelled("clusters", "Clusters of workers that were heard of lately.", ("host",), by_host)
    yield from _disks(alive)
    yield from _stores(alive, now, bounds)
    took = {beat.host: beat.database_seconds for beat in alive}
    words = "What the last small question of a worker to the database took."
    yield labelled("host_database_seconds", words, ("host",), _known(took))
    brokers = {(beat.host,): float(beat.broker_away_since is None) for beat in alive}
    yield labelled("broker_reachable", "1: the broker answers.", ("host",), sorted(brokers.items()))
    states = Tally((row.host, state) for row in PushHeartbeat.objects.alive(now) for state in row.states.values())
    words = "Connections that listen for new mail, by host and state."
    listening = [(labels, float(number)) for labels, number in sorted(states.items())]
    yield labelled("push_connections", words, ("host", "state"), listening)
    leases = Lease.objects.filter(expires_at__gt=now).order_by().values_list("purpose").annotate(Count("pk"))
    held = [((purpose,), float(number)) for purpose, number in leases]
    yield labelled("leases", "Leases that are held.", ("purpose",), held)


def _known(values: Mapping[str, float | None]) -> list[tuple[tuple[str], float]]:
    return sorted(((host,), float(value)) for host, value in values.items() if value is not None)


def _disks(alive: Sequence[WorkerHeartbeat]) -> Iterator[GaugeMetricFamily]:
    free = {beat.host: beat.disk_free_percent for beat in alive}
    yield labelled("disk_free_percent", "Of the data folder's disk.", ("host",), _known(free))
    free = {beat.host: beat.store_disk_free_percent for beat in alive}
    words = "Of the disk to which stored mail is written; absent if that is no folder, as with S3."
    yield labelled("store_disk_free_percent", words, ("host",), _known(free))


def _stores(alive: Sequence[WorkerHeartbeat], now: datetime, bounds: Bounds) -> Iterator[GaugeMetricFamily]:
    stores = {(beat.host,): float(beat.store_failed_since is None) for beat in alive}
    yield labelled("store_usable", "1: stored mail can be written and read.", ("host",), sorted(stores.items()))
    took = {beat.host: beat.store_seconds for beat in alive}
    words = "What the last look at stored mail took: to write, read and remove a small file."
    yield labelled("store_answer_seconds", words, ("host",), _known(took))
    failures = Tally[tuple[str]]()
    for beat in alive:
        failures[(beat.host,)] += beat.store_failures
    words = "Looks at stored mail that failed since the clusters of a host began."
    yield labelled("store_failures", words, ("host",), sorted(failures.items()))
    misses = StoreMiss.objects.filter(last_at__gte=now - StoreMiss.KEPT).order_by("-last_at")
    hosts = list(misses.values_list("host", flat=True)[: ROWS_READ + 1])
    rows = [((host,), 1.0) for host in bounds.first("hosts", hosts, ROWS_READ)]
    yield labelled("store_file_missing", "1: a stored mail was out of reach on this host lately.", ("host",), rows)


def of_processes(now: datetime, bounds: Bounds) -> Iterator[GaugeMetricFamily]:
    """How many processes of each role live on each host; 0 for one that fell silent within the last day."""
    beats = bounds.first("processes", list(ProcessHeartbeat.objects.order_by("-seen_at")[: ROWS_READ + 1]), ROWS_READ)
    found = Tally[tuple[str, str]]()
    for beat in beats:
        found[(beat.host, beat.role)] += beat.is_alive(now)
    rows = [(labels, float(number)) for labels, number in sorted(found.items())]
    words = "Processes that were heard of lately: web, workers, push, alerts, submission."
    yield labelled("processes", words, ("host", "role"), rows)


def of_database_failures(bounds: Bounds) -> Iterator[CounterMetricFamily]:
    """How often the database failed the processes of each host; each process adds what it counted twice a minute."""
    words = "Statements and connects that failed: waited (for a lock, or too long), unreachable, refused."
    family = CounterMetricFamily("prx_email_database_failures", words, labels=("host", "kind"))
    newest = DatabaseFailure.objects.order_by("-last_at").values_list("host", "kind", "number")[: ROWS_READ + 1]
    for host, kind, number in sorted(bounds.first("database_failures", list(newest), ROWS_READ)):
        family.add_metric((host, kind), number)
    yield family
