"""Prometheus metrics of programs: event webhooks and the HTTP API."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate, groupby
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Subquery
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from alerts.models import EventNumbers, Webhook, WebhookDelivery
from api import request_counts
from api.models import RequestCount
from prx_email_site.monitoring.metric_families import Bounds

DELIVERIES_READ = 5000  # the newest deliveries, so that the cost of a scrape does not grow
WEBHOOKS_SHOWN = 100


def of_webhooks(now: datetime, bounds: Bounds) -> Iterator[GaugeMetricFamily]:
    """Metrics of webhooks, labelled by pk: name and URL stay private."""
    columns = ("pk", "waits", "oldest", "cursor", "last", "failures", "is_on")
    hooks = bounds.first("webhooks", list(_hooks().values(*columns)[: WEBHOOKS_SHOWN + 1]), WEBHOOKS_SHOWN)
    words = "Events that wait to be delivered to a webhook."
    yield _by_webhook("webhook_waiting", words, hooks, lambda hook: hook["waits"] or 0)
    words = "How long the event that waits longest for a webhook has waited; 0 when none waits."
    yield _by_webhook("webhook_oldest_seconds", words, hooks, lambda hook: _age(hook["oldest"], now))
    words = "Events that were not looked at yet for a webhook."
    yield _by_webhook("webhook_events_behind", words, hooks, lambda hook: max((hook["last"] or 0) - hook["cursor"], 0))
    yield _by_webhook("webhook_failures", "Tries in a row that failed.", hooks, lambda hook: hook["failures"])
    yield _by_webhook("webhook_on", "0: switched off, or its receiver wants nothing more.", hooks, lambda h: h["is_on"])
    newest = WebhookDelivery.objects.order_by("-pk").values_list("webhook", "state")[:DELIVERIES_READ]
    words = "Of the newest 5000 deliveries to webhooks: how they ended, or that they wait."
    family = GaugeMetricFamily("prx_email_webhook_deliveries", words, labels=("webhook", "outcome"))
    for (webhook, state), number in sorted(Tally(newest).items()):
        family.add_metric((str(webhook), state), float(number))
    yield family


def _hooks() -> Any:
    waiting = WebhookDelivery.objects.waiting().filter(webhook=OuterRef("pk")).order_by()
    return Webhook.objects.order_by("pk").annotate(
        waits=Subquery(waiting.values("webhook").annotate(n=Count("pk")).values("n"), output_field=IntegerField()),
        oldest=Subquery(waiting.order_by("pk").values("created_at")[:1]),
        last=Subquery(EventNumbers.objects.order_by("pk").values("last")[:1]),
    )


def _by_webhook(name: str, words: str, hooks: list[dict[str, Any]], value: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"prx_email_{name}", words, labels=("webhook",))
    for hook in hooks:
        family.add_metric((str(hook["pk"]),), float(value(hook)))
    return family


def _age(moment: datetime | None, now: datetime) -> float:
    return max((now - moment).total_seconds(), 0) if moment else 0.0


def of_api() -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
    """Metrics of the HTTP API, of all processes, since the installation began."""
    request_counts.flush()
    rows: list[dict[str, Any]] = [
        dict(row) for row in RequestCount.objects.values("route", "method", "status", "le", "number", "seconds")
    ]
    labels = ("route", "method", "status")
    requests = CounterMetricFamily("prx_email_api_requests", "Requests to the HTTP API.", labels=labels)
    words = "How long requests to the HTTP API took."
    took = HistogramMetricFamily("prx_email_api_request_seconds", words, labels=labels)
    rows.sort(key=lambda row: tuple(row[label] for label in labels))
    for key, group in groupby(rows, key=lambda row: tuple(row[label] for label in labels)):
        found = {row["le"]: row for row in group}
        numbers = [found[end]["number"] if end in found else 0 for end in request_counts.ENDS]
        requests.add_metric(key, sum(numbers))
        ends = [(end, float(number)) for end, number in zip(request_counts.ENDS, accumulate(numbers), strict=True)]
        took.add_metric(key, ends, sum_value=sum(row["seconds"] for row in found.values()))
    yield requests
    yield took
