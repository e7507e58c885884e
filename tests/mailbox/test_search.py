"""Search over real rows of whichever database runs the tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from mailbox.imap_fetch import FetchedMessage, MessageMeta
from mailbox.models import Account, AccountGrant, Folder, Message, MessagePlace, MessageSearch
from mailbox.places import aggregate
from mailbox.reading import Order, read
from mailbox.search import FEW, search
from mailbox.search_index import index_messages, sweep_words, unindex
from mailbox.store import Incoming, decide, write
from mailbox.tasks import prune
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVERS = {"imap_host": "imap.test", "imap_port": 993, "smtp_host": "smtp.test", "smtp_port": 465}
_numbers = itertools.count(1)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("support@example.test", display_name="Help desk", **SERVERS)


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    """Sees all accounts."""
    return make_user("viewer")


def store(account: Account, subject: str = "", body: str = "", **fields: Any) -> Message:
    """A message in INBOX as sync stores it: row, place and index in one transaction."""
    folder_name = fields.pop("folder", "INBOX")
    number = next(_numbers)
    defaults: dict[str, Any] = {"sender": "Ann <ann@example.com>", "recipients": "me@example.test"}
    defaults |= {"message_id": f"<{number}@x>", "raw_digest": "0" * 64, "received_at": NOON, "size": 2_000}
    with transaction.atomic():
        message = Message.objects.create(account=account, subject=subject, body_text=body, **(defaults | fields))
        folder, _ = Folder.objects.get_or_create(account=account, name=folder_name, defaults={"delimiter": "/"})
        MessagePlace.objects.create(
            message=message,
            folder=folder,
            uidvalidity=1,
            uid=number,
            size=message.size,
            received_at=message.received_at,
            raw_digest=message.raw_digest,
            header_digest="0" * 64,
        )
        index_messages([message])
    return message


def subjects(user: User, query: str, **options: Any) -> list[str]:
    page = search(user, query, **options)
    assert page.problems == ()
    return [row.subject for row in page.rows]


@pytest.mark.parametrize("query", ["invoice", "INVOICE", "ïnvoicé", '"march invoice"', "invo*", "invoice march"])
def test_words_are_found_whatever_their_case_accents_and_order(account: Account, ann: User, query: str):
    store(account, "March invoice")
    store(account, "Something else")
    assert subjects(ann, query) == ["March invoice"]


def test_subject_sender_recipients_body_and_file_names_are_searched(account: Account, ann: User):
    store(
        account,
        "alpha",
        "beta",
        sender="Gamma <delta@example.com>",
        cc="epsilon@example.com",
        has_attachments=True,
        attachments=[{"filename": "zeta.pdf"}],
    )
    for word in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta"):
        assert subjects(ann, word) == ["alpha"], word


def test_operators_look_in_their_field_only(account: Account, ann: User):
    store(account, "about ann", "ann", sender="Bob <bob@example.com>")
    store(account, "from ann", "bob", sender="Ann Lee <ann@example.com>")
    store(account, "to ann", recipients="ann@example.com", sender="Carl <c@example.com>")
    store(account, "file", sender="C <c@c.c>", has_attachments=True, attachments=[{"filename": "Ann report.pdf"}])
    assert subjects(ann, "from:ann") == ["from ann"]
    assert subjects(ann, 'from:"Ann Lee"') == ["from ann"]
    assert subjects(ann, "to:ann@example.com") == ["to ann"]
    assert subjects(ann, "subject:about") == ["about ann"]
    assert subjects(ann, "filename:report.pdf") == ["file"]
    assert subjects(ann, "filename:rep*") == ["file"]
    assert subjects(ann, "from:ann -bob") == []


def test_a_phrase_does_not_reach_from_one_field_into_the_next(account: Account, ann: User):
    store(account, "annual", "report", sender="x@x.x")
    assert subjects(ann, '"annual report"') == []
    assert subjects(ann, "annual report") == ["annual"]


def test_a_phrase_needs_its_words_in_order_side_by_side(account: Account, ann: User):
    store(account, "one", "the annual report of the year")
    store(account, "two", "the report is annual")
    assert subjects(ann, '"annual report"') == ["one"]
    assert subjects(ann, 'annual -"annual report"') == ["two"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("明天去东京都开会", "东京"),
        ("明天去东京都开会", "京都"),
        ("明天去东京都开会", "会"),
        ("明天去东京都开会", "东京都开会"),
        ("発表はカタカナです", "カタカナ"),
        ("보고서를 보냅니다", "보고서"),
        ("新iPhone手机壳", "iphone手机"),
        ("السلام عليكم مُحَمَّد", "محمد"),
        ("ทดสอบภาษาไทย", "ภาษา"),
        ("हिन्दी में संदेश", "संदेश"),
        ("Ταχύτητα ΕΛΛΑΔΑ", "ελλαδα"),
    ],
)
def test_every_script_is_found_in_the_middle_of_a_sentence(account: Account, ann: User, text: str, query: str):
    store(account, "subject line", text)
    store(account, "other", "京东 東 unrelated")
    assert subjects(ann, query) == ["subject line"]


def test_states_attachments_and_sizes(account: Account, ann: User):
    store(account, "read", "word", seen=True, size=5_000)
    store(account, "unread", "word", size=5_001)
    store(account, "flagged", "word", seen=True, flagged=True, size=6_000_000)
    store(account, "with file", "word", seen=True, has_attachments=True, size=100)
    for prefix in ("", "word "):
        assert subjects(ann, f"{prefix}is:unread") == ["unread"]
        assert set(subjects(ann, f"{prefix}is:read")) == {"read", "flagged", "with file"}
        assert subjects(ann, f"{prefix}is:flagged") == ["flagged"]
        assert subjects(ann, f"{prefix}has:attachment") == ["with file"]
        assert set(subjects(ann, f"{prefix}-has:attachment larger:5000")) == {"unread", "flagged"}
        assert subjects(ann, f"{prefix}larger:5M") == ["flagged"]
        assert set(subjects(ann, f"{prefix}-larger:5000")) == {"read", "with file"}
        assert subjects(ann, f"{prefix}is:read is:unread") == []


def test_flags_are_those_of_now_not_of_when_it_was_indexed(account: Account, ann: User):
    message = store(account, "subject", "word")
    Message.objects.filter(pk=message.pk).update(seen=True)
    assert subjects(ann, "word is:unread") == []
    assert subjects(ann, "word is:read") == ["subject"]


def test_folders_by_name_last_part_or_purpose(account: Account, ann: User):
    store(account, "one", "word", folder="INBOX")
    store(account, "two", "word", folder="Work/Clients")
    Folder.objects.create(account=account, name="Gesendet", delimiter="/", special_use="\\Sent")
    store(account, "three", "word", folder="Gesendet")
    for prefix in ("", "word "):
        assert subjects(ann, f"{prefix}in:inbox") == ["one"]
        assert subjects(ann, f"{prefix}in:clients") == ["two"]
        assert subjects(ann, f"{prefix}in:sent") == ["three"]
        assert set(subjects(ann, f"{prefix}-in:inbox")) == {"two", "three"}
        assert subjects(ann, f"{prefix}in:nowhere") == []
        assert len(subjects(ann, f"{prefix}-in:nowhere")) == 3


def test_days_begin_at_midnight_of_the_users_time_zone(account: Account, ann: User, settings: Any):
    settings.TIME_ZONE = "Asia/Tokyo"
    store(account, "last of february", "word", received_at=datetime(2026, 2, 28, 14, 59, 59, tzinfo=UTC))
    store(account, "first of march", "word", received_at=datetime(2026, 2, 28, 15, 0, 0, tzinfo=UTC))
    for prefix in ("", "word "):
        assert subjects(ann, f"{prefix}after:2026-03-01") == ["first of march"]
        assert subjects(ann, f"{prefix}before:2026-03-01") == ["last of february"]


def test_accounts_by_address_or_name(account: Account, ann: User, make_account: Callable[..., Account]):
    other = make_account("sales@example.test", **SERVERS)
    store(account, "one", "word")
    store(other, "two", "word")
    for prefix in ("", "word "):
        assert subjects(ann, f"{prefix}account:sales") == ["two"]
        assert subjects(ann, f'{prefix}account:"help desk"') == ["one"]
        assert subjects(ann, f"{prefix}-account:sales") == ["one"]
        assert subjects(ann, f"{prefix}account:nobody") == []


def test_a_user_finds_mail_of_granted_accounts_only(
    account: Account, make_user: Callable[..., User], make_account: Callable[..., Account]
):
    other = make_account("secret@example.test", **SERVERS)
    store(account, "mine", "word")
    store(other, "secret", "word")
    limited = make_user("")
    queries = ("word", "is:unread", "account:secret", "word account:secret", "in:inbox", "-nothing", "word in:inbox")
    assert {query: subjects(limited, query) for query in queries} == {query: [] for query in queries}
    AccountGrant.objects.create(user=limited, account=account, role="viewer")
    for query in queries:
        assert subjects(limited, query) == ([] if "secret" in query else ["mine"]), query


def test_newest_first_in_pages_that_neither_skip_nor_repeat(account: Account, ann: User):
    for number in range(25):
        # Three share each second: the key breaks the tie.
        store(account, str(number), "word", received_at=NOON + timedelta(seconds=number // 3))
    for query in ("word", "is:unread", "word is:unread", "word in:inbox", '"word"', "-other"):
        found: list[str] = []
        before = None
        while True:
            page = search(ann, query, limit=4, before=before)
            assert len(page.rows) <= 4
            found += [row.subject for row in page.rows]
            before = page.next
            if before is None:
                break
        assert found == [str(number) for number in reversed(range(25))], query


def test_a_page_in_the_middle_has_its_next_page_and_the_last_none(account: Account, ann: User):
    for number in range(4):
        store(account, str(number), "word", received_at=NOON + timedelta(minutes=number))
    first = search(ann, "word", limit=2)
    assert first.next is not None
    assert search(ann, "word", limit=2, before=first.next).next is None


def test_more_than_a_few_unread_are_found_too(account: Account, ann: User):
    messages = [
        Message(
            account=account,
            message_id=f"<many{number}@x>",
            raw_digest="0" * 64,
            received_at=NOON + timedelta(minutes=number),
            subject=str(number),
            body_text="common rare" if number == 3 else "common",
            seen=number % 2 == 0,
        )
        for number in range(2 * FEW + 10)
    ]
    Message.objects.bulk_create(messages)
    index_messages(messages)
    assert subjects(ann, "rare is:unread") == ["3"]
    assert len(subjects(ann, "common is:unread", limit=500)) == 500
    assert subjects(ann, "common is:unread", limit=1) == [str(2 * FEW + 9)]


def test_a_page_stops_looking_in_time_and_goes_on_from_there(account: Account, ann: User, monkeypatch: Any):
    monkeypatch.setattr("mailbox.search.LOOKED_AT", 3)
    monkeypatch.setattr("mailbox.search.FEW", 0)
    store(account, "flagged", "word", flagged=True)
    for number in range(12):
        store(account, str(number), "word", received_at=NOON + timedelta(minutes=1 + number))
    pages, found, before = 0, [], None
    while True:
        page = search(ann, "word is:flagged", limit=2, before=before)
        pages += 1
        found += [row.subject for row in page.rows]
        before = page.next
        if before is None:
            break
    assert found == ["flagged"]
    assert pages > 1


@pytest.mark.parametrize("common", [100, 0])
def test_a_common_word_with_a_rare_state_is_walked_to_stretch_by_stretch(
    account: Account, ann: User, monkeypatch: Any, common: int
):
    """PostgreSQL: rather than have GIN sort all hits of it (which `common` 0 does), and with the same outcome."""
    monkeypatch.setattr("mailbox.search.FEW", 0)
    monkeypatch.setattr("mailbox.search_match._MOST_WALKED", 4)
    monkeypatch.setattr("mailbox.search_match._COMMON", common)
    for number in range(40):
        word = "invoice" if number % 2 else "letter"
        at = NOON - timedelta(minutes=number)
        store(account, f"{word} {number}", received_at=at, seen=number not in (1, 17, 18, 33))
    assert subjects(ann, "invoice is:unread") == ["invoice 1", "invoice 17", "invoice 33"]
    first = search(ann, "invoice is:unread", limit=1)
    assert [row.subject for row in first.rows] == ["invoice 1"]
    assert subjects(ann, "invoice is:unread", before=first.next) == ["invoice 17", "invoice 33"]
    assert subjects(ann, "invoice is:unread -33") == ["invoice 1", "invoice 17"]


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
    reading = read(Order(raw, len(raw), account.pk, connection.vendor))
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


def test_a_problem_is_answered_and_nothing_is_searched(ann: User, django_assert_num_queries: Any):
    with django_assert_num_queries(0):
        page = search(ann, "before:someday invoice")
    assert page.rows == ()
    assert "before:2026-03-31" in page.problems[0]


@pytest.mark.parametrize("limit", [0, 501, -1])
def test_a_limit_out_of_range_is_the_callers_mistake(ann: User, limit: int):
    with pytest.raises(ValueError, match="from 1 to 500"):
        search(ann, "word", limit=limit)


def test_the_number_of_queries_does_not_grow_with_the_rows(
    account: Account, ann: User, django_assert_max_num_queries: Any
):
    for _ in range(20):
        store(account, "subject", "word")
    for query in ("word", "is:unread", "word is:unread", "word in:inbox account:support", '"word"'):
        with django_assert_max_num_queries(12):
            page = search(ann, query)
            assert [row.account.email for row in page.rows] == ["support@example.test"] * 20
            assert [row.body_start for row in page.rows] == ["word"] * 20  # type: ignore[attr-defined]


HOSTILE = st.text(max_size=40) | st.text(
    alphabet="abc\"'*:-()^{}+&|!<>\\ \x00\ud800字ßé\ue000%_;ANDORNOTEAR", max_size=40
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE)
def test_no_input_is_a_syntax_error_for_the_database(account: Account, ann: User, query: str):
    page = search(ann, query)
    assert page.rows == () or page.problems == ()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_text_can_be_indexed_and_is_found_by_each_of_its_own_words(account: Account, ann: User, text: str):
    storable = text.encode("utf-8", "replace").decode().replace("\x00", "")
    message = store(account, storable, storable, sender=storable)
    for word in storable.split()[:3]:
        page = search(ann, f'subject:"{word}"', limit=500)
        assert page.problems or message.pk in {row.pk for row in page.rows}
    message.delete()
