"""What is typed into the search box is understood, or answered with a sentence."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.search.query import MAX_LENGTH, SearchQuery, parse


def words(text: str) -> list[tuple[str, str, bool]]:
    return [(term.field, " ".join(term.phrase.words), term.is_negated) for term in parse(text).terms]


def test_plain_words_are_looked_for_anywhere():
    assert words("Invoice März") == [("", "invoice", False), ("", "marz", False)]


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("harbour.example", True),
        ("Invoice 4411", True),
        ("from:ann", False),
        ("-draft", False),
        ("invo*", False),
        ('"two words"', False),
        ("is:unread", False),
        ("invoice in:inbox", False),
        ("", False),
    ],
)
def test_words_without_operators_can_be_handed_to_another_search(text: str, is_plain: bool):
    assert parse(text).is_plain is is_plain


def test_operators_name_the_field():
    assert words("from:ann to:Bob@Example.com subject:plan filename:a.pdf") == [
        ("from", "ann", False),
        ("to", "bob example com", False),
        ("subject", "plan", False),
        ("filename", "a pdf", False),
    ]


def test_quotes_make_a_phrase_and_an_open_quote_runs_to_the_end():
    assert words('"annual report" from:"Ann Lee" “typographic quotes” "left open') == [
        ("", "annual report", False),
        ("from", "ann lee", False),
        ("", "typographic quotes", False),
        ("", "left open", False),
    ]


def test_a_minus_negates_words_phrases_and_operators():
    assert words('-draft -"old plan" -from:ann') == [
        ("", "draft", True),
        ("", "old plan", True),
        ("from", "ann", True),
    ]
    query = parse("-has:attachment -is:unread -in:trash -account:ann")
    assert (query.has_attachment, query.is_unread) == (False, False)
    assert [name.is_negated for name in (*query.folders, *query.accounts)] == [True, True]


def test_a_minus_inside_a_word_is_part_of_it():
    assert words("re-send 2026-03-01") == [("", "re send", False), ("", "2026 03 01", False)]


def test_a_colon_after_an_unknown_word_is_punctuation():
    assert words("https://example.com/a Re:hello 12:30") == [
        ("", "https example com a", False),
        ("", "re hello", False),
        ("", "12 30", False),
    ]


def test_dates_bound_the_days():
    query = parse("after:2026-03-01 before:2026/4/2")
    assert (query.from_day, query.before_day) == (date(2026, 3, 1), date(2026, 4, 2))
    assert parse("after:2026").from_day == date(2026, 1, 1)
    assert parse("-after:2026-05").before_day == date(2026, 5, 1)
    assert parse("after:2024 after:2025 before:2030 before:2029").from_day == date(2025, 1, 1)


@pytest.mark.parametrize(("typed", "size"), [("10M", 10 << 20), ("500k", 500 << 10), ("1.5GB", 3 << 29), ("42", 42)])
def test_sizes_are_in_bytes_or_binary_units(typed: str, size: int):
    assert parse(f"larger:{typed}").larger == size
    assert parse(f"-larger:{typed}").at_most == size


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("before:yesterday", "before:2026-03-31"),
        ("after:2026-02-30", "after:2026-03-01"),
        ("after:0001-01-01", "1900"),
        ("larger:huge", "larger:10M"),
        ("larger:", "larger:10M"),
        ("has:wings", "has:attachment"),
        ("is:purple", "is:unread"),
        ("from:", "from:ann"),
        ('subject:""', 'subject:"annual report"'),
        ("filename:!!!", "filename:invoice.pdf"),
        ("a*", "at least 3 letters"),
        ("!!!", "letters or digits"),
        ("x " * 21, "at most 20 words"),
        ("x" * (MAX_LENGTH + 1), "at most 500 characters"),
    ],
)
def test_what_cannot_be_understood_is_answered_with_a_sentence_that_says_what_to_write(typed: str, hint: str):
    problems = parse(typed).problems
    assert len(problems) == 1
    assert hint in problems[0]


def test_an_empty_box_is_no_problem_and_asks_for_nothing():
    assert parse("   ").is_empty
    assert not parse("   ").problems


def test_a_contradiction_is_known():
    assert parse("is:unread is:read").contradicts
    assert not parse("is:unread is:unread").contradicts


@given(st.text(max_size=60) | st.from_regex(r'(-?(from|in|is|before|larger|has|subject):?["a-z0-9*:. -]{0,9} ?){1,5}'))
def test_nothing_typed_makes_it_raise_and_no_word_holds_a_quote(text: str):
    query = parse(text)
    assert isinstance(query, SearchQuery)
    for term in query.terms:
        assert all(word and not set("'\"\\ \x00\ue000\ue005") & set(word) for word in term.phrase.words)
