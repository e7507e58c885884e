"""What a search finds, over real rows of whichever database runs the tests: words, operators, states, whose mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailbox.models import Account, AccountGrant, Folder, Message
from mailbox.search.results import search
from tests.mailbox.search.searched import SERVERS, account, ann, store, subjects

__all__ = ["account", "ann"]
pytestmark = pytest.mark.django_db


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


def test_a_problem_is_answered_and_nothing_is_searched(ann: User, django_assert_num_queries: Any):
    with django_assert_num_queries(0):
        page = search(ann, "before:someday invoice")
    assert page.rows == ()
    assert "before:2026-03-31" in page.problems[0]


HOSTILE = st.text(max_size=40) | st.text(
    alphabet="abc\"'*:-()^{}+&|!<>\\ \x00\ud800字ßé\ue000%_;ANDORNOTEAR", max_size=40
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(HOSTILE)
def test_no_input_is_a_syntax_error_for_the_database(account: Account, ann: User, query: str):
    page = search(ann, query)
    assert page.rows == () or page.problems == ()


@pytest.mark.parametrize("typed", ["to:straße.example", "to:xn--strae-oqa.example", "to:info@straße.example"])
@pytest.mark.parametrize("stated", ["info@straße.example", "Ann <a@x>, Info <info@XN--STRAE-OQA.example>"])
def test_both_spellings_of_a_domain_are_found(account: Account, ann: User, typed: str, stated: str) -> None:
    store(account, "sought", recipients=stated)
    store(account, "other", recipients="info@strasse.org")
    assert subjects(ann, typed) == ["sought"]
