"""A connection that works stays open from one account's turn to the next; one that is broken is given up."""

from __future__ import annotations

import pytest
from django.db import Error, OperationalError, connection

from mailbox.db.errors import DATABASE_TROUBLE, close_if_broken, is_trouble

pytestmark = pytest.mark.django_db(transaction=True)


def ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_a_connection_that_works_stays_open_whatever_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    ask()
    opened = connection.connection

    close_if_broken()
    ask()

    assert opened is not None and connection.connection is opened


def test_a_connection_that_broke_is_given_up_so_that_the_next_statement_gets_another() -> None:
    ask()
    connection.connection.close()
    with pytest.raises(Error):
        ask()

    close_if_broken()

    assert connection.connection is None
    ask()


def test_a_missing_table_is_the_same_error_on_both_databases_and_no_trouble_of_theirs() -> None:
    with pytest.raises(OperationalError, match="no_such_table") as raised, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM no_such_table")
    assert isinstance(raised.value, DATABASE_TROUBLE) and not is_trouble(raised.value)
