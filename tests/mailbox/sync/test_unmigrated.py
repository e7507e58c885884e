"""Tables that are not those of the code, as amid an upgrade, or without a right to them: no message is blamed."""

from __future__ import annotations

import pytest
from django.db import connection

from mailbox.models import Account, Message, Quarantine
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import account, fill, on_server, state_of, stored
from tests.servers.dovecot import Dovecot

__all__ = ["account"]
pytestmark = pytest.mark.django_db(transaction=True)


def rename(former: str, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{Message._meta.db_table}" RENAME COLUMN "{former}" TO "{name}"')


def test_a_table_that_lacks_a_column_puts_no_message_aside(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 5)
    rename("subject", "its_subject")
    try:
        outcomes = [folder_sync.sync(account.pk) for _ in range(6)]  # a message at fault would be put aside by then
    finally:
        rename("its_subject", "subject")
    assert {each.error_code for each in outcomes} == {"storage"} and "subject" in outcomes[0].error
    assert not Quarantine.objects.exists()

    assert folder_sync.sync(account.pk).ok
    assert stored(account) == on_server(dovecot, account) and state_of(account).begun == {}
