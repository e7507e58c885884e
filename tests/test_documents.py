"""What the documents list is what the code has: tables, tasks, incidents, packages, settings, tests and commands."""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.test import Client
from django.urls import Resolver404, resolve
from django_q.models import Schedule

from alerts.models import Kind
from mailbox.schedules import INTERVALS
from tests.read_sources import APPS, MODULES, ROOT
from tests.test_dependencies import FLOOR, FLOORS
from tests.test_environment import FOR_TESTS_ONLY, NAME, read_by
from tests.test_named_paths import PAPERS

SPELT = {
    timedelta(seconds=30): "30 s",
    timedelta(minutes=1): "1 minute",
    timedelta(minutes=5): "5 minutes",
    timedelta(minutes=10): "10 minutes",
    timedelta(hours=1): "1 hour",
    timedelta(days=1): "1 day",
}
A_FILE = re.compile(r"/(etc|var|srv|tmp|data|opt)\b")


def text_of(paper: str) -> str:
    return (ROOT / paper).read_text(encoding="utf-8")


@cache
def settings() -> set[str]:
    return {name for module in MODULES for name in read_by(module)} - FOR_TESTS_ONLY


def rows_below(heading: str, paper: str = "docs/operations.md") -> list[list[str]]:
    """The cells of the table's rows in the section, without its head."""
    section = text_of(paper).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


@pytest.mark.parametrize("paper", PAPERS)
def test_each_table_has_its_head_and_as_many_cells_in_each_row(paper: str) -> None:
    """A row behind a blank line is shown as plain text with bars in it."""
    broken = []
    for table in re.findall(r"(?:^ *\|.*\n)+", text_of(paper), re.MULTILINE):
        rows = [re.sub(r"`[^`]*`|\\\|", "", row).strip() for row in table.splitlines()]
        if len(rows) < 3 or not re.fullmatch(r"[|\s:-]+", rows[1]):
            broken.append(rows[0])
        broken += [row for row in rows if row.count("|") != rows[0].count("|")]
    assert broken == []


@pytest.mark.django_db
def test_the_table_of_periodic_tasks_says_what_migrate_schedules() -> None:
    names, every = dict[str, str](), defaultdict[str, list[timedelta]](list)
    for row in Schedule.objects.order_by("pk"):
        names.setdefault(row.func, row.name)
        every[row.func].append(INTERVALS[row.schedule_type] * (row.minutes or 1))
    planned = [[names[task], f"`{task}`", SPELT[times[0] / len(times)]] for task, times in every.items()]
    assert sorted(row[:3] for row in rows_below("Periodic tasks")) == sorted(planned)


def test_the_table_of_incidents_says_what_to_do_about_each_kind() -> None:
    rows = rows_below("What needs a person")
    assert [row[0] for row in rows] == [str(kind.label) for kind in Kind]
    assert all(len(row) == 2 and row[1] for row in rows)


@pytest.mark.django_db
def test_an_address_in_a_document_is_one_of_the_site_or_an_operation_of_the_api() -> None:
    described = Client().get("/api/v1/openapi.json").json()["paths"]
    of_api = {re.sub(r"{.*?}", "{}", path.removeprefix("/api/v1")): set(verbs) for path, verbs in described.items()}
    missing = []
    for paper in PAPERS:
        for verb, written in re.findall(r"`(?:([A-Z]+) )?(/[a-z][^`\s?]*)[^`\s]*`", text_of(paper)):
            path = re.sub(r"{.*?}", "{}", written.removeprefix("/api/v1").rstrip("/"))
            if verb:
                is_there = verb.lower() in of_api.get(path, set[str]())
            else:
                is_there = any(f"{each}/".startswith(f"{path}/") for each in of_api) or is_page(written)
            if not is_there and not A_FILE.match(written):
                missing.append(f"{verb} {written}")
    assert missing == []


def is_page(path: str) -> bool:
    """Whether a page is at this address, or at one that begins so and goes on with a link's words."""
    for address in (path, f"{path}words/1/words/"):
        with suppress(Resolver404):
            return bool(resolve(address))
    return False


def test_each_package_has_its_line_in_the_architecture() -> None:
    text = text_of("docs/architecture.md")
    inner = {name.split(".")[1] for name in MODULES if re.fullmatch(r"(mailbox|outbox)\.\w+(\.\w+)+", name)}
    assert [name for name in sorted(inner | set(APPS)) if f"`{name}`" not in text and f"`{name}/`" not in text] == []


def test_the_drawing_of_who_may_import_whom_has_the_order_of_the_floors() -> None:
    drawing = text_of("docs/architecture.md").partition("## Who may import whom")[2].split("```")[1]
    app, above, floors = "", len(FLOORS), set[str]()
    for line in drawing.strip().splitlines():
        beginning, is_app, rest = line.rpartition(":")
        app = f"{beginning}." if is_app else app if line.startswith(" ") else ""
        names = [app + name.strip() for name in rest.split(",")]
        assert above > max(FLOOR[name] for name in names), names
        above, floors = min(FLOOR[name] for name in names), floors | set(names)
    packages = {name for name in FLOOR if MODULES.get(name) is not None and MODULES[name].name == "__init__.py"}
    assert packages - floors == set()


@pytest.mark.parametrize("paper", PAPERS)
def test_a_document_names_settings_tests_and_commands_that_are_there(paper: str) -> None:
    text = text_of(paper)
    named = {name.removesuffix("_FILE") for name in re.findall(rf"{NAME.pattern}\b(?![_…])", text)}
    tests = {path.name for path in Path(ROOT, "tests").rglob("test_*.py")}
    commands = set(re.findall(r"manage\.py ([a-z_]+)", text))
    assert sorted(named - settings()) == []
    assert sorted(set(re.findall(r"\btest_\w+\.py", text)) - tests) == []
    assert sorted(commands - set(get_commands())) == []
