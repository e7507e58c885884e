"""python -m benchmarks.table [SECTION]: write the results of the last full runs into docs/benchmarks.md, so that nobody
types a figure. The tables stand between two marker comments for each database; SECTION is where those of SQLite go
instead, as when they were taken on another machine than the rest."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.frame import ROOT, Options, results_path

PAGE = ROOT / "docs/benchmarks.md"
HEAD = "| figure | what | value | reach | | ours | peer | taken |\n|---|---|---|---|---|---|---|---|"


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


def rewritten(page: str, tables: dict[str, str]) -> str:
    """The page with each table between `<!-- results NAME -->` and `<!-- end of results NAME -->`."""
    for name, table in tables.items():
        begin, end = f"<!-- results {name} -->", f"<!-- end of results {name} -->"
        if table and begin in page and end in page:
            before, rest = page.split(begin, 1)
            page = f"{before}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"
    return page


def main() -> None:
    sections = {sys.argv[1]: "sqlite"} if len(sys.argv) > 1 else {"sqlite": "sqlite", "postgres": "postgres"}
    tables = {section: markdown(results_path(Options(database=name))) for section, name in sections.items()}
    if not any(tables.values()):
        sys.exit("There are no results of full size yet: run `make bench` first.")
    PAGE.write_text(rewritten(PAGE.read_text(), tables))


if __name__ == "__main__":
    main()
