"""Families of Prometheus gauges, made in one line each."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.core import GaugeMetricFamily


def gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    """One number."""
    return GaugeMetricFamily(f"prx_email_{name}", words, value=value)


def labelled(
    name: str, words: str, labels: Sequence[str], rows: Sequence[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    """A number for each combination of labels. rows: (values of the labels, number)."""
    family = GaugeMetricFamily(f"prx_email_{name}", words, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family
