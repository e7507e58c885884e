"""What the sweep asks of the database, and that it finds all of a store, in parts and in some days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account, Message, MessagePlace, RawMessage
from mailbox.storage import raw_store, sweeping
from tests.query_plans import statements
from tests.rows import letter, outbox_row, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(make_account: Callable[..., Account]) -> set[str]:
    """The digests of stored mail: of mails that were sent, of places, and of messages whose place is another mail's."""
    account = make_account()
    sent = [outbox_row(account, f"Sent {number}").mime_digest for number in range(7)]
    received = [store(account, letter(f"Received {number}")) for number in range(7)]
    places = raw_store.save_batch([f"place {number}".encode() for number in range(7)])
    for message, digest in zip(received, places, strict=True):
        MessagePlace.objects.filter(message=message).update(raw_digest=digest)
    return {*sent, *places, *(message.raw_digest for message in received)}


@pytest.mark.parametrize("begin", ["0" * 64, "7" * 64, "f" * 64])
def test_all_that_no_row_refers_to_goes_wherever_the_sweep_begins(
    kept: set[str], monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    raw_store.save_batch([f"forgotten {number}".encode() for number in range(20)])
    monkeypatch.setattr(sweeping, "_any_digest", lambda: begin)
    monkeypatch.setattr(sweeping, "PART", 6)
    monkeypatch.setattr(sweeping, "_CHUNK", 4)
    assert sweeping.sweep(timezone.now() + timedelta(hours=25)) == 20
    assert set(RawMessage.objects.values_list("digest", flat=True)) == kept


def test_a_table_without_an_index_is_read_once_for_a_part(kept: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred digests a time, a store of a million mails would be read thousands of times, for hours each day."""
    raw_store.save_batch([b"forgotten"])
    monkeypatch.setattr(sweeping, "_CHUNK", 2)
    with statements() as seen:
        sweeping.sweep(timezone.now() + timedelta(hours=25))
    for column in ('SELECT "messages"."raw_digest"', 'SELECT "outbox"."mime_digest"'):
        assert 1 <= sum(column in sql for sql, _ in seen) <= 2  # from where it begins, and from the start


def test_what_one_sweep_has_no_time_for_is_looked_at_by_later_ones(
    kept: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_store.save_batch([f"forgotten {number}".encode() for number in range(8)])
    monkeypatch.setattr(sweeping, "PART", 5)
    monkeypatch.setattr(sweeping, "LOOK_SECONDS", 0.0)
    begins = [f"{number:02x}" * 32 for number in range(0, 256, 4)]
    remaining = iter(begins)
    monkeypatch.setattr(sweeping, "_any_digest", lambda: next(remaining))
    later = timezone.now() + timedelta(hours=25)
    removed = [sweeping.sweep(later) for _ in begins]
    assert max(removed) <= 5 and sum(removed) == 8
    assert Message.objects.count() == 7
    assert set(RawMessage.objects.values_list("digest", flat=True)) == kept
