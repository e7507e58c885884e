"""What PostgreSQL ended because it waited too long is told from what it refused."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from mailbox.db.lock_timeout import is_locked_by_another

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's")]


def test_a_statement_over_its_time_is_what_waited_in_vain_and_a_wrong_one_is_not() -> None:
    with connection.cursor() as cursor:
        with pytest.raises(DatabaseError) as over, transaction.atomic():
            cursor.execute("SET LOCAL statement_timeout = 1")
            cursor.execute("SELECT pg_sleep(60)")
        with pytest.raises(DatabaseError) as wrong, transaction.atomic():
            cursor.execute("SELECT nothing FROM nowhere")
    assert is_locked_by_another(over.value)
    assert not is_locked_by_another(wrong.value)
