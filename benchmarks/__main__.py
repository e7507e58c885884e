"""python -m benchmarks [sync] [outbox] [pages] [machines] [programs]: take the figures.

BENCH_SCALE=0.1 shrinks, ONLY=rtt,four chooses.
BENCH_DATABASE=postgres takes them with PostgreSQL. Exit status 1 when a figure is void: the job was not done.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks import frame, pages, pages_table, sync, sync_table, table
from benchmarks.frame import Bench, Figure, Options
from benchmarks.machine import keep_to_two_cores
from benchmarks.machines_suite import machines_table
from benchmarks.outbox_suite import outbox, outbox_table
from benchmarks.programs_suite import programs, programs_table

SUITES: dict[str, tuple[Callable[[Options, ExitStack], Any], list[Bench]]] = {
    "sync": (sync.Context, sync_table.BENCHES),
    "outbox": (outbox.Context, outbox_table.BENCHES),
    "pages": (pages.Context, pages_table.BENCHES),
    "machines": (sync.Context, machines_table.BENCHES),
    "programs": (programs.Context, programs_table.BENCHES),
}


def main(names: list[str]) -> int:
    """Run the suites with these names, all without one; returns the exit status, 1 if a figure is void."""
    if unknown := [name for name in names if name not in SUITES]:
        sys.exit(f"There is no suite {', '.join(unknown)}; there are {', '.join(SUITES)}.")
    options = Options.of_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stop from outside also tidies up
    keep_to_two_cores()
    figures: list[Figure] = []
    for name in names or list(SUITES):
        make_context, benches = SUITES[name]
        benches = frame.chosen(benches, os.environ.get("ONLY", ""))
        with ExitStack() as stack:
            figures += frame.run(name, benches, make_context(options, stack), options)
    print("\n" + table.markdown(frame.results_path(options)))
    return 1 if any(figure.void for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
