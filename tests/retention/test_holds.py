"""Legal holds: what they name stays, whatever the rules and deletions say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from math import inf

import pytest
from django.db.models.signals import post_delete
from django.utils import timezone

from mailbox import resting_batches
from mailbox.messages import purge
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import (
    Account,
    Lease,
    LegalHold,
    Message,
    MessagePlace,
)
from outbox import account_deletion
from outbox.legal_holds import holds_account, of_outbox
from outbox.models import OutboxMessage
from prx_email_site.retention.kinds import preview
from tests.retention.rules import NOW, OLD, rule, subjects, swept
from tests.rows import NOWHERE, letter, outbox_row, store

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("by", ["account", "address", "message"])
def test_a_hold_keeps_what_it_names_from_rules_and_from_the_grace_period(
    account: Account, make_account: Callable[..., Account], by: str
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    held = store(account, letter("Held", To="Bob <BOB@example.com>"), at=OLD)
    store(other, letter("Free", To="carl@example.com"), at=OLD)
    names = {"account": {"account": account}, "address": {"address": "bob@example.com"}, "message": {"message": held}}
    hold = LegalHold.objects.create(reason="Case 1", **names[by])
    found = rule("received")
    assert (preview(found, NOW).number, preview(found, NOW).held) == (1, 1)
    swept()
    assert subjects() == {"Held"}
    Message.objects.update(gone_at=OLD)
    MessagePlace.objects.update(gone_at=OLD)
    assert purge.remove_expunged(NOW) == 0
    assert MessagePlace.objects.filter(message=held).exists()
    assert (
        "hold" in account_deletion.ask(account, lambda: None).refusal and Account.objects.filter(pk=account.pk).exists()
    )
    assert holds_account(other.pk, LegalHolds.standing()) is False
    LegalHold.objects.filter(pk=hold.pk).update(released_at=NOW)
    swept()
    assert not Message.objects.exists()


@pytest.mark.parametrize("held", ["bob@bücher.example", "bob@xn--bcher-kva.example"])
@pytest.mark.parametrize("written", ["Bob <BOB@bücher.example>", "bob@XN--BCHER-KVA.example", "Bob@BÜCHER.example"])
def test_a_hold_on_an_international_domain_keeps_mail_with_either_of_its_forms(
    account: Account, held: str, written: str
) -> None:
    store(account, letter("Held"), at=OLD, recipients=written)
    row = outbox_row(account, "Sent", to=written, status="sent")
    OutboxMessage.objects.filter(pk=row.pk).update(created_at=OLD, updated_at=OLD)
    LegalHold.objects.create(reason="Case 1", address=held)
    rule("received"), rule("sent")
    swept()
    assert subjects() == {"Held"} and OutboxMessage.objects.filter(pk=row.pk).exists()


def test_a_hold_that_is_put_while_an_account_is_deleted_keeps_what_is_left(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        store(account, letter(f"Mail {number}"))
    monkeypatch.setattr(resting_batches, "FIRST_ROWS", 1)

    def put(sender: object, **_: object) -> None:
        LegalHold.objects.get_or_create(account=account, defaults={"reason": "Case 1"})

    post_delete.connect(put, sender=Message)
    try:
        refusal = account_deletion.ask(account, lambda: None).refusal
    finally:
        post_delete.disconnect(put, sender=Message)
    account.refresh_from_db()
    assert "hold" in refusal and Message.objects.count() == 2 and account.sync_enabled
    assert not Lease.objects.filter(account=account, expires_at__gt=timezone.now()).exists()


def test_an_account_is_deleted_with_rests_between_short_transactions(account: Account) -> None:
    for number in range(3):
        store(account, letter(f"Mail {number}"))
        outbox_row(account, status="sent")
    ticks, rests = count(), list[float]()
    # The clock goes on at each look.
    paced = resting_batches.RestingBatches(lambda: next(ticks) * 0.25, rests.append, most=1)
    Account.objects.update(deleting_since=NOW)
    assert account_deletion.go_on(account.pk, inf, paced) == account_deletion.Outcome()
    assert rests == [0.5] * 6
    assert not Account.objects.exists() and not Message.objects.exists() and not OutboxMessage.objects.exists()


def test_a_mail_that_is_written_while_its_account_is_deleted_keeps_the_account(account: Account) -> None:
    store(account, letter("Mail"))

    def write(sender: object, **_: object) -> None:
        outbox_row(account)

    post_delete.connect(write, sender=Message)
    try:
        refusal = account_deletion.ask(account, lambda: None).refusal
    finally:
        post_delete.disconnect(write, sender=Message)
    assert "has not gone out" in refusal and OutboxMessage.objects.count() == 1


@pytest.mark.parametrize(
    ("held", "written"),
    [
        ("eve@example.com", "Eve@Example.com"),
        ("ünal.öz@example.com", "Ünal.Öz@example.com"),
        ("öz+1@x.org", "ÖZ+1@X.org"),
    ],
)
def test_what_was_written_to_a_held_address_keeps_its_account(account: Account, held: str, written: str) -> None:
    """In any case of its letters; SQLite itself knows that of ASCII letters only."""
    row = outbox_row(account, status="sent", to=written)
    row.recipients.update(address=written)
    other = outbox_row(account, status="sent", to="eve@example.org")
    LegalHold.objects.create(address=held, reason="Case 1")
    kept = OutboxMessage.objects.filter(of_outbox(LegalHolds.standing()))
    assert list(kept) == [row] and other not in kept
    OutboxMessage.objects.filter(pk=row.pk).update(to="")  # the envelope alone
    assert list(kept.all()) == [row]
    assert "hold" in account_deletion.ask(account, lambda: None).refusal and OutboxMessage.objects.exists()
