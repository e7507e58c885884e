"""What a rule removes is found by an index in its order: a look-up of some thousand rows reads no more than those.

SQLite keeps no statistics here, so a plan is the same with a million rows.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Account, AuditEntry, LegalHold
from outbox.models import OutboxMessage
from prx_email_site.retention.kinds import KINDS, What, preview
from prx_email_site.retention.sweep import _Removed
from tests.query_plans import plan_of, statements
from tests.retention.rules import NOW, OLD, rule, swept
from tests.rows import outbox_row

pytestmark = pytest.mark.django_db
SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by its statistics.")
FEW = {What.INCIDENTS, What.DRAFTS}  # tables that do not grow with the mail
LARGE = {What.RECEIVED: "message_large", What.SENT: "outbox_large"}


@SQLITE
@pytest.mark.parametrize("what", [what for what in KINDS if what not in FEW])
@pytest.mark.parametrize("of_one", [False, True])
def test_a_look_up_sorts_nothing(account: Account, what: What, of_one: bool) -> None:
    kind = KINDS[what]
    if of_one and not kind.takes_account:
        return
    for larger_than in [None, 5_000_000] if kind.size else [None]:
        made = rule(what, account=account if of_one else None, larger_than=larger_than)
        with statements() as seen:
            removed = _Removed(made, NOW)
            removed.look_up()
            removed.is_done, removed.reached = False, 1 if kind.order_of(made) == ("pk",) else OLD
            removed.look_up()
            preview(made, NOW)
        plans = [
            plan_of(each) for each in seen if f'"{kind.rows(made, LegalHolds(), NOW).model._meta.db_table}"' in each[0]
        ]
        assert len(plans) >= 3
        for plan in plans:
            assert not [line for line in plan if "TEMP B-TREE" in line], plan
            if larger_than:
                assert any(LARGE[what] in line for line in plan), plan


def test_rows_of_one_account_go_in_the_order_of_their_keys_and_no_younger_one(
    account: Account, make_account: object
) -> None:
    for age in (3, 1, 2):  # not in the order of their keys
        AuditEntry.objects.create(verb=f"old{age}", account=account, at=OLD - timedelta(days=age))
    AuditEntry.objects.create(verb="young", account=account, at=NOW)
    behind = AuditEntry.objects.create(verb="of a wrong clock", account=account, at=OLD)
    AuditEntry.objects.create(verb="of another", at=OLD)
    rule("activity", account=account)
    swept()
    left = set(AuditEntry.objects.exclude(verb__startswith="retention").values_list("verb", flat=True))
    assert left == {"young", "of a wrong clock", "of another"}
    AuditEntry.objects.filter(verb="young").update(at=OLD)
    swept()
    assert not AuditEntry.objects.filter(pk=behind.pk).exists()
    assert AuditEntry.objects.filter(verb="of another").exists()


def test_what_is_held_of_one_account_is_walked_over(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prx_email_site.retention.sweep.LOOKED_UP", 2)
    for number in range(7):
        row = outbox_row(account, f"Mail {number}", status="sent", to="eve@x.example" if number % 2 else "a@x.example")
        OutboxMessage.objects.filter(pk=row.pk).update(created_at=OLD, updated_at=OLD)
    LegalHold.objects.create(address="eve@x.example", reason="Case 1")
    rule("sent", account=account)
    swept()
    assert set(OutboxMessage.objects.values_list("subject", flat=True)) == {"Mail 1", "Mail 3", "Mail 5"}
