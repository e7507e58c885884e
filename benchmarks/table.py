"""python -m benchmarks.table: write the results of the last full runs into benchmarks/results/, a file for each
database, and those of SQLite, in short, into docs/benchmarks.md, so that nobody types a figure."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.frame import ROOT, Options, results_path

PAGE = ROOT / "docs/benchmarks.md"
FILES = ROOT / "benchmarks/results"
DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
HEAD = "| figure | what | value | reach | | ours | peer | taken |\n|---|---|---|---|---|---|---|---|"
SHORT_HEAD = "| figure | what | value | reach | | taken |\n|---|---|---|---|---|---|"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def markdown(path: Path) -> str:
    """The results' file as a table; empty when there is none."""
    if not path.exists():
        return ""
    kept = json.loads(path.read_text())
    lines = [HEAD]
    for key, row in kept["figures"].items():
        value = "void" if row["void"] else f"**{row['value']:.3g}**"
        sides = [f"{row[side]:.4g} {row['unit']}" if row[side] is not None else "" for side in ("ours", "peer")]
        taken = f"{row['taken_at']}, {row['commit']}"
        what = f"{row['measure']}, against {row['peer_name']}" if row["peer_name"] else row["measure"]
        cells = [key, what, value, row["reach"], row["answer"], *sides, taken]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [
        f"- {key}: {row['void'] or row['notes']}" for key, row in kept["figures"].items() if row["void"] or row["notes"]
    ]
    machine = "; ".join(f"{name} {value}" for name, value in kept["machine"].items())
    return "\n".join([*lines, "", *notes, "", f"Machine: {machine}."])


def shortened(table: str) -> str:
    """The table's rows without both sides' own numbers, notes and machine: what the page shows."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    return "\n".join([SHORT_HEAD, *(f"| {' | '.join([*cells[:5], cells[-1]])} |" for cells in rows)])


def rewritten(page: str, table: str) -> str:
    """The page with the table between its two marker comments."""
    before, rest = page.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}"


def main() -> None:
    tables = {name: markdown(results_path(Options(database=name))) for name in DATABASES}
    if not any(tables.values()):
        sys.exit("There are no results of full size yet: run `make bench` first.")
    for name, table in tables.items():
        if table:
            (FILES / f"{name}.md").write_text(f"# {DATABASES[name]}\n\n{table}\n")
    if tables["sqlite"]:
        PAGE.write_text(rewritten(PAGE.read_text(), shortened(tables["sqlite"])))


if __name__ == "__main__":
    main()
