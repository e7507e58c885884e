"""What every mail asks is answered by an index, however many mails were ever sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mailbox.models import Account
from outbox.delivery import claims
from outbox.models import OutboxMessage
from tests.query_plans import plan_of, statements
from tests.rows import NOWHERE, outbox_row

pytestmark = pytest.mark.django_db
SENT = 3000


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    """Thousands of rows are sent, one is due."""
    account = make_account("ops@example.com", **NOWHERE)
    row = outbox_row(account, "Old", status="sent")
    row.pk = None
    fields = {
        field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.attname != "id"
    }
    OutboxMessage.objects.bulk_create([OutboxMessage(**fields) for _ in range(SENT)], batch_size=500)
    outbox_row(account, "New", status="pending", next_attempt_at=timezone.now() - timedelta(minutes=1))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return account


def test_a_claim_looks_at_what_waits_and_not_at_what_was_sent(account: Account) -> None:
    with statements() as seen:
        claimed = claims.claim_some(account.pk, "w", most=8, lease_seconds=90, now=timezone.now())

    assert len(claimed) == 1
    (claim,) = [each for each in seen if each[0].startswith('UPDATE "outbox"')]
    plan = "\n".join(plan_of(claim))
    assert "outbox_waiting" in plan, plan
    assert "Seq Scan on outbox" not in plan and "SCAN outbox" not in plan, plan
