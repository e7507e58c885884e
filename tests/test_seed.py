"""A seeded database is as one that came from servers: every page and the search take it for real."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F, Max
from django.db.models.functions import Coalesce
from django.test import Client

from mailbox.models import Account, Message, MessagePlace, MessageSearch
from mailbox.search.index import index_text, sort_key
from mailbox.search.results import search
from outbox.models import OutboxMessage
from prx_email_site.seed.letters import letters
from prx_email_site.seed.mailboxes import ticket

pytestmark = [pytest.mark.django_db(transaction=True, reset_sequences=True), pytest.mark.pages]


@pytest.fixture(autouse=True)
def no_words_left() -> None:
    """What empties the tables between tests knows Django's tables only: the words of SQLite's index stay, and those of
    the next test's messages get the same keys."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM message_words")


def seed(**options: int | bool) -> str:
    said = StringIO()
    call_command("seed", stdout=said, **({"messages": 120, "outbox": 120, "accounts": 2} | options))
    return said.getvalue()


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def stored_words() -> dict[int, str]:
    column = "w.words" if connection.vendor == "sqlite" else "s.words::text"
    join = "JOIN message_words w ON w.rowid = s.sort_key" if connection.vendor == "sqlite" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT s.message_id, {column} FROM message_search s {join}")
        return dict(cursor.fetchall())


def as_stored(text: str) -> str:
    if connection.vendor == "sqlite":
        return text
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::tsvector::text", [text])
        return str(cursor.fetchone()[0])


def test_the_index_has_the_words_that_sync_would_have_written() -> None:
    seed()
    words = stored_words()
    assert [words[each.pk] for each in Message.objects.order_by("pk")] == [
        as_stored(index_text(each)) for each in Message.objects.order_by("pk")
    ]
    keys = dict(MessageSearch.objects.values_list("message_id", "sort_key"))
    assert keys == {each.pk: sort_key(each.received_at, each.pk) for each in Message.objects.all()}


def test_a_mails_own_word_finds_it_and_nothing_else() -> None:
    seed()
    found = search(User.objects.create_superuser("root"), ticket(60))
    assert [row.message_id for row in found.rows] == ["<60@seed.example>"]


def test_every_page_takes_it_for_real(admin: Client) -> None:
    seed()
    first = Message.objects.earliest("pk").pk
    account, row = Account.objects.earliest("pk").pk, OutboxMessage.objects.earliest("pk").pk
    pages = ("/", "/messages/", "/messages/?by=conversation", "/outbox/", f"/accounts/{account}/", "/accounts/")
    own = (f"/messages/{first}/", f"/messages/{first}/html/", f"/outbox/{row}/")
    assert {page: admin.get(page).status_code for page in (*pages, *own)} == dict.fromkeys((*pages, *own), 200)
    assert MessagePlace.objects.count() == 120
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"sent", "pending", "failed", "cancelled"}


def test_new_rows_get_keys_behind_the_seeded_ones() -> None:
    seed()
    last = Message.objects.latest("pk")
    last.pk, last.message_id, last._state.adding = None, "<new@example.com>", True
    last.save()
    assert last.pk == 1 + Message.objects.exclude(pk=last.pk).latest("pk").pk


def test_the_letters_are_the_same_on_every_run() -> None:
    assert letters(40) == letters(40)
    assert len({letter.body_text for letter in letters(40)}) == 40


def test_a_database_with_accounts_is_left_alone(make_account: Callable[..., Account]) -> None:
    make_account()
    with pytest.raises(CommandError, match="This database has accounts"):
        seed()
    assert not Message.objects.exists()
    seed(force=True)
    assert Message.objects.count() == 120
    with pytest.raises(CommandError, match="was seeded before"):
        seed(force=True)


@pytest.mark.parametrize("wrong", [{"accounts": 0}, {"accounts": 1_001}, {"messages": -1}, {"outbox": 10**9}])
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(CommandError, match="Give 1 to 1000 accounts"):
        seed(**wrong)
    assert not Account.objects.exists()


def test_a_row_knows_the_number_of_its_newest_attempt() -> None:
    """Or a worker that claims it fails at the attempt that is there already."""
    seed()
    newest = OutboxMessage.objects.annotate(newest=Coalesce(Max("attempts__number"), 0))
    assert set(newest.values_list("newest", flat=True)) == {0, 1}
    assert not newest.exclude(last_attempt=F("newest")).exists()
