"""The bytes of a new mail: durable before its row, and named by the store's index in the row's own transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError

from mailbox.models import Account, RawMessage
from mailbox.storage import raw_store
from mailbox.storage.durable_files import raw_storage
from outbox import api
from outbox.compose import new_row
from outbox.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_row_that_is_not_committed_leaves_no_index_row(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(new_row, "_note", fail)
    assert not api.queue(account.pk, "ann@example.com", "Hi", "Dear Ann").ok
    assert not OutboxMessage.objects.exists() and not RawMessage.objects.exists()


def test_bytes_that_went_before_the_commit_are_stored_anew(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process slept for a day, and a sweep took the file that no row named yet."""
    insert = new_row.insert

    def after_a_day(*given: Any) -> int:
        pk = insert(*given)
        (segment,) = RawMessage.objects.values_list("segment", flat=True)
        raw_storage().delete(segment)
        return pk

    monkeypatch.setattr(new_row, "insert", after_a_day)
    assert api.queue(account.pk, "ann@example.com", "Hi", "Dear Ann").ok
    assert b"Dear Ann" in raw_store.open_raw(OutboxMessage.objects.get().mime_digest)


def test_bytes_that_another_mail_stored_at_the_same_instant_are_kept(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = raw_store.reference
    there = list[str]()

    def behind_another(digests: list[str], now: Any, unindexed: Any) -> None:
        (new,) = unindexed
        path = Path(settings.STORAGES["raw"]["OPTIONS"]["location"]) / new.segment
        there.extend(raw_store.save_batch([path.read_bytes()], prove=True))
        keep(digests, now, unindexed)

    monkeypatch.setattr(raw_store, "reference", behind_another)
    assert api.queue(account.pk, "ann@example.com", "Hi", "Dear Ann").ok
    assert there == [OutboxMessage.objects.get().mime_digest]
    assert RawMessage.objects.count() == 1 and b"Dear Ann" in raw_store.open_raw(there[0])
