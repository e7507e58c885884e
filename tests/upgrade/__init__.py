"""Hosts are upgraded one after the other: what the release before needs of the tables stays until the release after.

released.json: commit and tables of the newest release. Made at each release, in a checkout of it:

    python manage.py shell -c "from tests.upgrade import recorded; print(recorded())" > tests/upgrade/released.json
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Release:
    """`tables`: table -> columns that its code reads and writes."""

    commit: str
    tables: dict[str, list[str]]


def recorded() -> str:
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    tables = {each._meta.db_table: sorted(field.column for field in each._meta.concrete_fields) for each in models}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.dumps(asdict(Release(head.stdout.strip(), dict(sorted(tables.items())))))


def newest() -> Release:
    return Release(**json.loads((Path(__file__).parent / "released.json").read_text()))
