"""The words of messages: in step with the rows, however they change, and whatever text a mail has."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailbox.imap.fetch import FetchedMessage, MessageMeta
from mailbox.messages.places import aggregate
from mailbox.messages.store import Incoming, decide, write
from mailbox.models import Account, Folder, Message, MessagePlace, MessageSearch
from mailbox.parsing.parse_job import ParseJob, read
from mailbox.search.index import index_messages, sweep_words, unindex
from mailbox.search.results import search
from mailbox.tasks.sync import prune
from tests.mailbox.search.searched import NOON, account, ann, store, subjects

__all__ = ["account", "ann"]
pytestmark = pytest.mark.django_db


def test_a_changed_message_is_found_by_its_new_words_only(account: Account, ann: User):
    message = store(account, "old subject", "old")
    message.subject, message.body_text = "new subject", "fresh"
    message.received_at += timedelta(days=1)
    message.save()
    index_messages([message])
    assert subjects(ann, "old") == []
    assert subjects(ann, "fresh") == ["new subject"]
    assert MessageSearch.objects.count() == 1


def test_indexing_twice_changes_nothing(account: Account, ann: User):
    message = store(account, "subject", "word")
    index_messages([message, message])
    assert subjects(ann, "word") == ["subject"]


def test_a_rolled_back_message_leaves_no_words(account: Account, ann: User):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        store(account, "subject", "word")
        raise ZeroDivisionError
    assert search(ann, "word").rows == ()
    assert MessageSearch.objects.count() == 0


def test_expunged_and_deleted_messages_are_not_found(account: Account, ann: User):
    expunged, deleted, kept = (store(account, name, "word") for name in ("expunged", "deleted", "kept"))
    Message.objects.filter(pk=expunged.pk).update(gone_at=NOON)
    deleted.delete()
    assert subjects(ann, "word") == ["kept"]
    assert unindex([kept.pk, expunged.pk]) == 2
    assert subjects(ann, "word") == []


def test_words_of_messages_that_went_with_their_account_are_swept_daily(account: Account, ann: User):
    store(account, "gone", "word")
    account.delete()
    assert subjects(ann, "word") == []
    prune()
    assert sweep_words() == 0, "nothing is left to sweep"
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM message_words WHERE message_words MATCH 'word'")
            assert cursor.fetchone() == (0,)


def test_a_mail_that_sync_stores_is_found_at_once_and_moves_with_its_date(account: Account, ann: User):
    store(account, "other", "word", received_at=NOON - timedelta(hours=1))
    folder = Folder.objects.get(account=account, name="INBOX")
    raw = b"Message-ID: <a@b>\r\nSubject: synced\r\n\r\nword\r\n"
    meta = MessageMeta(uid=7, flags=(), internal_date=NOON, size=len(raw))
    reading = read(ParseJob(raw, len(raw), account.pk, connection.vendor))
    incoming = Incoming(FetchedMessage(meta, raw, is_complete=True), reading)
    with transaction.atomic():
        write(folder, 1, decide(folder, 1, [incoming]), NOON)
    assert subjects(ann, "word") == ["synced", "other"]
    MessagePlace.objects.filter(folder=folder, uid=7).update(received_at=NOON - timedelta(days=1))
    aggregate(Message.objects.values_list("pk", flat=True), NOON)
    assert subjects(ann, "word") == ["other", "synced"]


def test_a_message_without_text_is_found_by_what_its_html_says(account: Account, ann: User):
    store(account, "html only", body_html="<style>hidden{}</style><p>visible <b>w</b>ord</p>")
    assert subjects(ann, "visible") == ["html only"]
    assert subjects(ann, "word") == ["html only"]
    assert subjects(ann, "hidden") == []


def test_enormous_mails_are_indexed_as_far_as_both_databases_can(account: Account, ann: User):
    store(account, "long", "start " + " ".join(f"w{number}" for number in range(200_000)) + " end")
    store(account, "wide", "begin " + " ".join("語" * 60 + str(number) for number in range(30_000)))
    store(account, "one word", "x" * 3_000_000)
    store(account, "same", "same " * 100_000, recipients=", ".join(f"a{n}@example.com" for n in range(20_000)))
    assert subjects(ann, "start") == subjects(ann, "w9000") == ["long"]
    assert subjects(ann, "begin 語語") == ["wide"]
    assert subjects(ann, '"same same"') == subjects(ann, "to:a100") == ["same"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.text(max_size=60))
def test_any_text_can_be_indexed_and_is_found_by_each_of_its_own_words(account: Account, ann: User, text: str):
    storable = text.encode("utf-8", "replace").decode().replace("\x00", "")
    message = store(account, storable, storable, sender=storable)
    for word in storable.split()[:3]:
        page = search(ann, f'subject:"{word}"', limit=500)
        assert page.problems or message.pk in {row.pk for row in page.rows}
    message.delete()
