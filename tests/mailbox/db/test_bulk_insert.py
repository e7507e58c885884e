"""Rows written by hand are those that the ORM writes, on either database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import CaptureQueriesContext

from mailbox.db import bulk_insert
from mailbox.models import Account, Folder, Message, MessagePlace, RawMessage

pytestmark = pytest.mark.django_db
NOON = datetime(2024, 3, 1, 12, 0, 0, 250, tzinfo=UTC)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    nowhere = {"imap_host": "localhost", "imap_port": 1, "smtp_host": "localhost", "smtp_port": 1}
    return make_account(ca_certificate="", **nowhere)


def row(account: Account, number: int, make: Callable[[], Message] = Message, **fields: Any) -> Message:
    message = make()
    given = {"account_id": account.pk, "message_id": f"<{number}@x>", "received_at": NOON, "raw_digest": "0" * 64}
    for name, value in {**given, **fields}.items():
        setattr(message, name, value)
    return message


def values(message: models.Model, *but: str) -> dict[str, Any]:
    fields = [field.attname for field in message._meta.concrete_fields if field.attname not in ("id", *but)]
    return {name: getattr(message, name) for name in fields}


def test_a_blank_object_has_the_defaults_of_a_new_one() -> None:
    for model in (Message, MessagePlace, RawMessage):
        assert values(bulk_insert.blank(model), "stored_at") == values(model(), "stored_at")
    one, other = bulk_insert.blank(Message), bulk_insert.blank(Message)
    assert one.attachments is not other.attachments
    assert one._state.adding and one.pk is None


@pytest.mark.parametrize("count", [1, 7, 40, 75])
def test_what_is_inserted_reads_as_what_the_orm_inserts(account: Account, count: int) -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    odd = {
        "subject": 'it\'s 50 % \u6f22\u5b57 "quoted" \ufffd',
        "attachments": [{"filename": "\u00e9.pdf", "size": 3}],
        "date": NOON.astimezone(east),
        "seen": True,
        "size": 2**40,
    }
    ours = [row(account, number, lambda: bulk_insert.blank(Message), **odd) for number in range(count)]
    bulk_insert.insert(ours)
    theirs = [row(account, 1000 + number, **odd) for number in range(count)]
    Message.objects.bulk_create(theirs)
    stamps = ("message_id", "created_at", "updated_at")
    for one, other in zip(ours, theirs, strict=True):
        stored, expected = Message.objects.get(pk=one.pk), Message.objects.get(pk=other.pk)
        assert stored.message_id == one.message_id
        assert values(stored, *stamps) == values(expected, *stamps)
        assert stored.created_at is not None


def test_what_is_there_already_is_left_as_it_is(account: Account) -> None:
    def raw(digest: str, segment: str) -> RawMessage:
        return RawMessage(digest=digest, segment=segment, offset=0, length=1, stored_at=NOON)

    assert bulk_insert.insert_missing([raw("a", "old"), raw("b", "old")]) == 2
    assert bulk_insert.insert_missing([raw("b", "new"), raw("c", "new")]) == 1
    assert dict(RawMessage.objects.values_list("digest", "segment")) == {"a": "old", "b": "old", "c": "new"}
    assert bulk_insert.insert_missing([]) == 0


def test_a_refusal_of_the_database_comes_through_and_leaves_nothing(account: Account) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        bulk_insert.insert([row(account, 1), row(account, 2), row(account, 1)])
    assert not Message.objects.exists()


def test_known_says_which_values_are_there(account: Account) -> None:
    folder = Folder.objects.create(account=account, name="INBOX")
    bulk_insert.insert([row(account, number) for number in range(5)])
    message_ids = [f"<{number}@x>" for number in range(3, 9)]
    assert bulk_insert.known(Message, "message_id", message_ids, account_id=account.pk) == {"<3@x>", "<4@x>"}
    assert bulk_insert.known(Message, "message_id", message_ids, account_id=account.pk + 1) == set()
    assert bulk_insert.known(Message, "message_id", [], account_id=account.pk) == set()
    assert bulk_insert.known(MessagePlace, "uid", [1], folder_id=folder.pk) == set()


def test_a_batch_of_small_rows_is_one_statement(account: Account) -> None:
    rows = [RawMessage(digest=str(number), segment="s", offset=0, length=1, stored_at=NOON) for number in range(77)]
    with CaptureQueriesContext(connection) as captured:
        bulk_insert.insert_missing(rows)
    assert len(captured) == 1
