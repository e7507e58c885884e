"""Code of the newest release reads and writes the tables as this code's migrations leave them."""

from __future__ import annotations

import pytest
from django.db import connection

from tests import upgrade

RELEASE = upgrade.newest()


def columns() -> dict[str, set[str]]:
    """Of the database and not of the models: a table may outlive its model by a release."""
    with connection.cursor() as cursor:
        return {
            table: {each.name for each in connection.introspection.get_table_description(cursor, table)}
            for table in connection.introspection.table_names(cursor)
        }


@pytest.mark.django_db
def test_nothing_that_the_release_reads_is_gone_or_has_another_name() -> None:
    """Removed in the release after the one whose code no longer asks for it."""
    now = columns()
    gone = [
        f"{table}.{name}" for table, names in RELEASE.tables.items() for name in names if name not in now.get(table, ())
    ]
    assert not gone


@pytest.mark.django_db
def test_what_is_new_in_its_tables_is_filled_by_the_database() -> None:
    """Its INSERT does not name them: they are nullable, or have a default of the database's own (db_default)."""
    assert len(RELEASE.tables) > 50
    unfilled = []
    with connection.cursor() as cursor:
        for table, names in RELEASE.tables.items():
            described = connection.introspection.get_table_description(cursor, table)
            unfilled += [
                f"{table}.{each.name}"
                for each in described
                if each.name not in names and not each.null_ok and each.default is None
            ]
    assert not unfilled
