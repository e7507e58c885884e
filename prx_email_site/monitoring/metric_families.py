"""Families of Prometheus gauges, made in one line each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily

Row = TypeVar("Row")


def gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    """One number."""
    return GaugeMetricFamily(f"prx_email_{name}", words, value=value)


def labelled(
    name: str, words: str, labels: Sequence[str], rows: Sequence[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    """A number for each combination of labels. rows: (values of the labels, number).

    Rows with the same labels are added up: Prometheus refuses a second sample of a series.
    """
    family = GaugeMetricFamily(f"prx_email_{name}", words, labels=labels)
    numbers: dict[tuple[str, ...], float] = defaultdict(float)
    for values, value in rows:
        numbers[tuple(values)] += value
    for key, number in numbers.items():
        family.add_metric(key, number)
    return family


class Bounds:
    """Which lists of rows were cut during a scrape, as they are longer than what it tells."""

    def __init__(self) -> None:
        self._cut: dict[str, bool] = {}

    def first(self, name: str, rows: Sequence[Row], most: int) -> list[Row]:
        """The first `most` of `rows`, of which one more was read. `name`: of what, as the metric tells it."""
        self._cut[name] = self._cut.get(name, False) or len(rows) > most
        return list(rows[:most])

    def family(self) -> GaugeMetricFamily:
        """The metric, at the end of a scrape: 1 for each list that was cut."""
        words = "1: there are more of these rows than a scrape tells, so the metrics by them lack the others."
        return labelled("left_out", words, ("rows",), [((name,), float(cut)) for name, cut in self._cut.items()])
