"""Events: written with what they tell of, numbered in an order that no reader can miss one of."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from alerts import tasks
from alerts.events import numbers, triggers
from alerts.models import AlertIncident, Event, EventKind, Webhook, WebhookDelivery
from mailbox.models import Account, Message, SyncState, Transport
from outbox.models import DeliveryReport, OutboxMessage
from tests.rows import folder_of, letter, looked_yesterday, outbox_row, store

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold


def told(*kinds: str) -> list[Event]:
    """What is numbered from now on, in its order; its kinds must be these."""
    before = numbers.last()
    numbers.give()
    found = numbers.after(before, numbers.account_keys(), None, 500)
    assert [each.kind for each in found] == list(kinds)
    return found


@pytest.mark.django_db
def test_a_message_tells_that_it_arrived_was_read_went_and_came_back(account: Account) -> None:
    message = store(account, letter(Message_ID="<a@example.com>"))
    (new,) = told("message.new")
    assert (new.account_id, new.message_pk, new.detail) == (account.pk, message.pk, {"message_id": "<a@example.com>"})
    row = Message.objects.filter(pk=message.pk)
    row.update(seen=True, flagged=False, answered=False)
    (flags,) = told("message.flags")
    assert flags.detail == {"message_id": "<a@example.com>", "seen": True, "flagged": False, "answered": False}
    row.update(seen=True, subject="the same marks")
    told()
    row.update(gone_at=timezone.now())
    told("message.gone")
    row.update(gone_at=timezone.now())
    told()
    row.update(gone_at=None)
    told("message.new")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "hold", "kind"),
    [
        ("sent", "", "outbox.sent"),
        ("failed", "uncertain", "outbox.uncertain"),
        ("failed", "permanent", "outbox.failed"),
        ("failed", "gave_up", "outbox.failed"),
        ("failed", "sign_in", "outbox.failed"),
        ("failed", "", None),
        ("cancelled", "", None),
    ],
)
def test_a_mail_tells_how_it_ended_and_nothing_of_tries(
    account: Account, status: str, hold: str, kind: str | None
) -> None:
    row = outbox_row(account, idempotency_key="k")
    OutboxMessage.objects.filter(pk=row.pk).update(status=status, hold=hold, error="no")
    found = told(*[kind] if kind else [])
    assert all((each.account_id, each.outbox_pk) == (account.pk, row.pk) for each in found)
    assert all((each.detail["idempotency_key"], each.detail["hold"]) == ("k", hold) for each in found)
    OutboxMessage.objects.filter(pk=row.pk).update(status=status, hold=hold, error="again")
    told()


@pytest.mark.django_db
def test_bounces_and_complaints_name_the_account_of_their_mail(account: Account) -> None:
    row = outbox_row(account)
    for action in ("failed", "complaint", "delayed"):
        at = {"reported_at": timezone.now()}
        DeliveryReport.objects.create(outbox=row, address="ann@example.com", action=action, status_code="5.1.1", **at)
    bounced, complaint = told("outbox.bounced", "outbox.complaint")
    assert (bounced.account_id, bounced.outbox_pk, complaint.account_id) == (account.pk, row.pk, account.pk)
    assert bounced.detail == {"address": "ann@example.com", "status_code": "5.1.1", "is_proven": False}


@pytest.mark.django_db
def test_accounts_folders_and_syncs_tell_too(account: Account) -> None:
    smtp = Transport.objects.filter(pk=account.smtp_id)
    smtp.update(needs_sign_in_since=timezone.now())
    smtp.update(needs_sign_in_since=None)
    state = SyncState.objects.create(account=account, folder=folder_of(account), uidvalidity=1)
    SyncState.objects.filter(pk=state.pk).update(uidvalidity=2, renumbered_count=1)
    now = timezone.now()
    for kind in ("behind", "failed"):
        row = AlertIncident.objects.create(
            key=kind, kind=kind, account=account, sentence="It lags.", opened_at=now, present_since=now
        )
        AlertIncident.objects.filter(pk=row.pk).update(alerted_at=now)
    needs, back, reset, behind = told("account.needs_sign_in", "account.back", "folder.reset", "sync.behind")
    assert {each.account_id for each in (needs, back, reset, behind)} == {account.pk}
    assert (needs.detail, reset.folder_pk, behind.detail) == (
        {"kind": "smtp"},
        state.folder_id,
        {"sentence": "It lags."},
    )


@pytest.mark.django_db
def test_every_kind_fits_its_column() -> None:
    assert max(map(len, EventKind.values)) <= 21


@pytest.mark.django_db
def test_an_event_is_undone_with_the_change_it_tells_of(account: Account) -> None:
    with transaction.atomic():
        store(account, letter())
        transaction.set_rollback(True)
    told()


@pytest.mark.django_db
def test_a_trigger_that_was_dropped_with_its_table_is_made_again(account: Account) -> None:
    (name,) = [each for each in triggers._present(connection) if "outbox" in each]  # type: ignore[arg-type]
    triggers._drop(connection, name, "outbox")  # type: ignore[arg-type]
    triggers.install()
    triggers.install()
    row = outbox_row(account)
    OutboxMessage.objects.filter(pk=row.pk).update(status="sent")
    told("outbox.sent")


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_committed_late_is_not_behind_the_cursor(account: Account) -> None:
    """Two transactions: the one that wrote its event first commits last. On SQLite the second waits for the first."""
    early, late = outbox_row(account), outbox_row(account)
    has_written, may_commit = threading.Event(), threading.Event()

    def sent(row: OutboxMessage) -> None:
        OutboxMessage.objects.filter(pk=row.pk).update(status="sent")

    def slow() -> None:
        try:
            with transaction.atomic():
                sent(early)
                has_written.set()
                assert may_commit.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        assert has_written.wait(30)
        if connection.vendor == "sqlite":
            may_commit.set()
        sent(late)
        end = numbers.give()
        seen = [each.outbox_pk for each in numbers.after(0, {account.pk}, None, 10)]
        assert connection.vendor == "sqlite" or seen == [late.pk]
    finally:
        may_commit.set()
        thread.join(30)
    numbers.give()
    seen += [each.outbox_pk for each in numbers.after(end, {account.pk}, None, 10)]
    assert sorted(each or 0 for each in seen) == [early.pk, late.pk]


@pytest.mark.django_db
def test_events_end_after_a_week_and_numbers_are_not_given_again(account: Account) -> None:
    """Also where nobody listens."""
    store(account, letter())
    tasks.send_events()
    Event.objects.update(created_at=timezone.now() - timedelta(days=8))
    looked_yesterday()
    tasks.prune()
    assert not Event.objects.exists()
    store(account, letter())
    numbers.give()
    assert Event.objects.get().number == 2


@pytest.mark.django_db
def test_what_is_forgotten_goes_in_small_parts_with_its_deliveries(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "AT_ONCE", 2)
    webhook = Webhook.objects.create(name="crm", url="https://example.com/", encrypted_secret="x")
    for _ in range(5):
        store(account, letter())
    assert numbers.give() == 5
    last = Event.objects.latest("number")
    Event.objects.exclude(pk=last.pk).update(created_at=timezone.now() - timedelta(days=8))
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(webhook=webhook, event=each, next_try_at=timezone.now()) for each in Event.objects.all()
    )
    assert numbers.forget(timezone.now() - timedelta(days=7)) == 4
    assert [each.event for each in WebhookDelivery.objects.all()] == [last]


@pytest.mark.django_db
def test_an_account_takes_its_events_along(account: Account) -> None:
    store(account, letter())
    account.delete()
    assert not Event.objects.exists()


def test_what_an_event_is_called_differs_between_installations(settings: Any) -> None:
    event = Event(pk=1)
    settings.BASE_URL = "https://a.example"
    first = event.identifier
    settings.BASE_URL = "https://b.example"
    assert event.identifier != first
