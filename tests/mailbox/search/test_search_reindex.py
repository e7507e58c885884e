"""manage.py reindex makes the index of what has none, and goes on where it was interrupted."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction

from mailbox.management.commands import reindex
from mailbox.models import Account, Message, MessageSearch
from mailbox.search.index import MERGING, empty_index, index_messages
from mailbox.search.results import search
from tests.mailbox.search.searched import NOON, SERVERS

pytestmark = pytest.mark.django_db


@pytest.fixture
def unindexed(make_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindex, "BATCH", 4)
    account = make_account("a@example.test", **SERVERS)
    for number in range(10):
        Message.objects.create(
            account=account, message_id=f"<{number}>", raw_digest="0" * 64, received_at=NOON, body_text="word"
        )


def run(*options: str) -> str:
    out = StringIO()
    call_command("reindex", *options, stdout=out)
    return out.getvalue()


def test_every_message_is_found_afterwards(unindexed: None, make_user: Callable[..., User]):
    ann = make_user("viewer")
    assert search(ann, "word").rows == ()
    assert run().startswith("Done: 10 messages indexed")
    assert len(search(ann, "word").rows) == 10
    assert run().startswith("Done: 0 messages indexed")


def test_an_interrupted_run_goes_on_where_it_was(unindexed: None):
    next(reindex.reindex_batches())
    assert MessageSearch.objects.count() == 4
    assert run().startswith("Done: 6 messages indexed")


def test_rows_of_an_older_way_to_make_words_are_written_again(unindexed: None):
    run()
    MessageSearch.objects.filter(message__message_id__in=["<1>", "<2>"]).update(version=0)
    assert run().startswith("Done: 2 messages indexed")


def test_all_begins_from_nothing(unindexed: None, make_user: Callable[..., User]):
    run()
    assert run("--all").startswith("Done: 10 messages indexed")
    assert len(search(make_user("viewer"), "word").rows) == 10


@pytest.mark.skipif(connection.vendor != "sqlite", reason="FTS5 is SQLite's")
@pytest.mark.parametrize("count", [1, 7, 150])
def test_a_batch_is_one_segment_of_the_index(make_account: Callable[..., Account], count: int):
    account = make_account("a@example.test", **SERVERS)
    for number in range(count):
        Message.objects.create(
            account=account, message_id=f"<{number}>", raw_digest="0" * 64, received_at=NOON, body_text=f"word {number}"
        )

    def segments() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(DISTINCT segid) FROM message_words_idx")
            return int(cursor.fetchone()[0])

    empty_index()
    with transaction.atomic():
        index_messages(list(Message.objects.all()))
        Message.objects.update(seen=True)
    assert segments() == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="FTS5 is SQLite's")
def test_an_emptied_index_is_merged_as_the_first_was():
    def options() -> set[tuple[str, int]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT k, v FROM message_words_config")
            return set(cursor.fetchall())

    first = options()
    empty_index()
    assert options() == first >= set(MERGING.items())
