"""What every benchmark shares: a figure beside its reach, alternating runs, medians, the results' file.

A figure is a ratio, so that it says something on any machine. It is void, and never a number, when what was measured
did not do the whole job: a message missing, or one sent twice.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS_FOLDER = ROOT / "var/benchmarks"
PAUSE_SECONDS = 0.5


class Void(Exception):
    """What was measured did not do the job; the text says what is missing."""


@dataclass(frozen=True)
class Reach:
    """The bound a figure is held to: "<= 1.0", ">= 30", "<= 250 MB"."""

    is_upper: bool
    bound: float
    unit: str = ""

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.is_upper else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.is_upper else '>='} {self.bound:g} {self.unit}".rstrip()


def at_most(bound: float, unit: str = "") -> Reach:
    """The reach of a figure that is to be no more than this."""
    return Reach(True, bound, unit)


def at_least(bound: float, unit: str = "") -> Reach:
    """The reach of a figure that is to be no less than this."""
    return Reach(False, bound, unit)


@dataclass
class Figure:
    """One line of the table. `ours` and `peer` are medians in `unit`; `value` is what the reach is about.

    Without a reach the line stands for information.
    """

    name: str
    measure: str
    peer_name: str
    reach: Reach | None
    value: float | None = None
    ours: float | None = None
    peer: float | None = None
    unit: str = "s"
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: str = ""
    void: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the figure was measured and its reach holds; True without a reach."""
        return not self.void and self.value is not None and (self.reach is None or self.reach.holds(self.value))

    def answer(self) -> str:
        """The answer for the table: "yes", "NO", "void", or "" without a reach."""
        if self.void:
            return "void"
        if self.reach is None:
            return ""
        return "yes" if self.is_reached else "NO"

    def bound(self) -> str:
        """The reach for the table; "" without one."""
        return "" if self.reach is None else str(self.reach)


@dataclass(frozen=True)
class Options:
    """`scale` shrinks the amounts for trying; `database` is "sqlite" or "postgres"."""

    scale: float = 1.0
    database: str = "sqlite"

    @classmethod
    def of_environment(cls) -> Options:
        """By BENCH_SCALE, 1 by default, and BENCH_DATABASE, "sqlite" by default. Raises ValueError."""
        return cls(float(os.environ.get("BENCH_SCALE") or 1), os.environ.get("BENCH_DATABASE") or "sqlite")

    def amount(self, full: int, least: int = 1) -> int:
        """An amount of the full size, scaled; never below `least`."""
        return max(round(full * self.scale), least)

    def rounds(self, full: int) -> int:
        """How many times to measure both sides: `full`, and 2 or 1 at a small scale."""
        return full if self.scale >= 0.5 else min(full, 2) if self.scale >= 0.02 else 1


@dataclass(frozen=True)
class Bench:
    """One benchmark: `run` is handed what its suite keeps open (servers, mailboxes) and the figures to fill."""

    name: str
    run: Callable[..., None]
    figures: tuple[Figure, ...]

    def take(self, context: Any) -> list[Figure]:
        """Copies of the figures, filled; those that could not be are void."""
        figures = [replace(figure, samples={}) for figure in self.figures]
        reason = "it was not measured"
        try:
            self.run(context, *figures)
        except (Void, RuntimeError, TimeoutError) as error:
            lines = str(error).strip().splitlines()
            reason = lines[-1] if lines else type(error).__name__
            if not isinstance(error, Void):
                traceback.print_exc()
        for figure in figures:
            figure.void = "" if figure.value is not None else reason
        return figures


# --- Measuring --------------------------------------------------------------------------------------------------
@dataclass
class Pair:
    """Seconds (or rates) of both sides, taken in turns so that whatever else the machine does hits both alike."""

    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    @property
    def our_median(self) -> float:
        """Our median, in the unit that was measured."""
        return statistics.median(self.ours)

    @property
    def peer_median(self) -> float:
        """The peer's median, in the same unit."""
        return statistics.median(self.peer)

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.our_median / self.peer_median

    def fill(self, figure: Figure) -> Figure:
        """Write ratio, medians and samples into the figure; returns it."""
        figure.value, figure.ours, figure.peer = self.ratio, self.our_median, self.peer_median
        figure.samples = {"ours": self.ours, "peer": self.peer}
        return figure


def alternate(rounds: int, ours: Callable[[], float], peer: Callable[[], float], pause: float = PAUSE_SECONDS) -> Pair:
    """Run both `rounds` times, each first in every other round: whoever comes second finds warmer caches."""
    pair = Pair()
    for number in range(rounds):
        steps = [(ours, pair.ours), (peer, pair.peer)]
        for measure, kept in steps if number % 2 else reversed(steps):
            os.sync()  # what the run before left to be written is not this one's
            time.sleep(pause)
            kept.append(measure())
    return pair


def spread(values: Sequence[float], digits: int = 2) -> str:
    """All values in the order they were taken, for a figure's notes."""
    return " ".join(f"{value:.{digits}f}" for value in values)


# --- Running ----------------------------------------------------------------------------------------------------
def chosen(benches: Sequence[Bench], only: str) -> list[Bench]:
    """Those whose name is in the comma-separated list; all for an empty one. Raises SystemExit for an unknown name."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    known = [bench.name for bench in benches]
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"There is no benchmark {', '.join(unknown)} here; there are {', '.join(known)}.")
    return [bench for bench in benches if not wanted or bench.name in wanted]


def run(suite: str, benches: Sequence[Bench], context: Any, options: Options) -> list[Figure]:
    """Run them, print a table and keep the results. A bench that is void does not stop the others."""
    found: list[Figure] = []
    for bench in benches:
        say(f"{suite} {bench.name} ...")
        begin = time.monotonic()
        figures = bench.take(context)
        for figure in figures:
            say(f"    {line_of(figure)}")
        say(f"    (took {time.monotonic() - begin:.0f} s)")
        found += figures
        keep(suite, figures, options)
    return found


def line_of(figure: Figure) -> str:
    if figure.void:
        return f"{figure.name}: VOID: {figure.void}"
    sides = ""
    if figure.ours is not None and figure.peer is not None:
        sides = f" (ours {figure.ours:.4g} {figure.unit}, {figure.peer_name} {figure.peer:.4g} {figure.unit})"
    reach = f" reach {figure.reach}: {figure.answer()}" if figure.reach else ""
    return f"{figure.name}: {figure.value:.3g}{reach}{sides} {figure.notes}".rstrip()


def say(text: str) -> None:
    """Print a line at once: a run takes minutes, and its output may be a pipe."""
    print(text, flush=True)


# --- Keeping ----------------------------------------------------------------------------------------------------
def results_path(options: Options) -> Path:
    """Small runs are for trying and never meet the figures of the full sizes."""
    size = "" if options.scale == 1 else f"-scale-{options.scale:g}"
    return RESULTS_FOLDER / f"results-{options.database}{size}.json"


def keep(suite: str, figures: Sequence[Figure], options: Options) -> None:
    """Put the figures into the results' file in place of those of the same name."""
    path = results_path(options)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"figures": {}}
    kept["machine"] = machine()
    for figure in figures:
        row = asdict(figure) | {"reach": figure.bound(), "answer": figure.answer(), "suite": suite}
        row |= {"taken_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "commit": commit(), "scale": options.scale}
        kept["figures"][f"{suite}/{figure.name}"] = row
    path.write_text(json.dumps(kept, indent=1) + "\n")


def goes_with_us() -> list[str]:
    """The beginning of a command that is ended when this process is."""
    return [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid())]


def commit() -> str:
    """The short hash of the checked-out commit; "" outside of a repository."""
    answer = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return answer.stdout.strip()


def machine() -> dict[str, str]:
    """What the figures were taken on: cores, memory, versions."""
    from benchmarks.machine import facts

    return facts()
