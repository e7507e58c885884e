# ruff: noqa: RUF001 (letters of many scripts are what this is about)
"""The words of the index: case and accents folded, any script, the same for a mail and for a query."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.search.highlight import excerpt, highlight
from mailbox.search.index_terms import size_terms_above, size_terms_up_to, terms_of_size
from mailbox.search.query import parse
from mailbox.search.tokenizer import MAX_WORD, phrase, word_spans, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ångström NAÏVE Łódź Straße", "angstrom naive lodz strasse"),
        ("İstanbul ISTANBUL ılık", "istanbul istanbul ilik"),
        ("ann@example.com foo_bar 1,234.50", "ann example com foo bar 1 234 50"),
        ("مُحَمَّد أحمد كتـــاب", "محمد احمد كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("Привет Ёлка", "привет елка"),
        ("東京都へ", "東京 京都 都へ へ"),
        ("ガキ", "ガキ キ"),
        ("iPhone手机x", "iphone 手机 机 x"),
        ("보고서를", "보고 고서 서를 를"),
        ("हिन्दी में", "हिन्दी में"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zero width"),
    ],
)
def test_words_are_folded_and_unspaced_scripts_cut_into_pairs(text: str, expected: str):
    assert words(text) == expected.split(" ")


def test_composed_and_decomposed_letters_are_the_same_words():
    for text in ("é한국어ガ", "Ñandú"):
        assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


def test_a_phrase_of_an_unspaced_script_finds_the_middle_of_a_run():
    assert phrase("京都").words == ("京都",)
    assert phrase("都").is_prefix, "one character is the beginning of some pair"
    assert phrase("手机x").words == ("手机", "机", "x"), "the run ends where the mail's run ends"


@pytest.mark.parametrize("sentence", ["Ångström über 東京都へ。", "مُحَمَّد x\n", "东京都，", "one-two "])
def test_a_long_text_has_the_words_of_its_sentences(sentence: str):
    assert words(sentence * 30_000) == words(sentence) * 30_000


def test_only_as_many_words_are_made_as_are_wanted():
    assert words("東京。" * 100_000, 5) == ["東京", "京"] * 2 + ["東京"]


def test_overlong_words_are_cut_alike_everywhere():
    assert words("a" * 500) == ["a" * MAX_WORD] == list(phrase("a" * 500).words)


@given(st.text(max_size=80))
def test_places_give_the_same_words_as_the_index(text: str):
    normal = unicodedata.normalize("NFC", text)
    assert [each.word for each in word_spans(normal)] == words(text)
    assert all(0 <= each.start < each.end <= len(normal) for each in word_spans(normal))


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("The INVOICE is due", "invoice", "The <mark>INVOICE</mark> is due"),
        ("Ein Café, zwei cafes", "cafe", "Ein <mark>Café</mark>, zwei cafes"),
        ("an annual report", '"annual report"', "an <mark>annual report</mark>"),
        ("report, annual", '"annual report"', "report, annual"),
        ("invoices invoiced", "invo*", "<mark>invoices</mark> <mark>invoiced</mark>"),
        ("我去東京都", "京", "我去東<mark>京</mark>都"),
        ("我去東京都", "東京", "我去<mark>東京</mark>都"),
        ("أحمد هنا", "احمد", "<mark>أحمد</mark> هنا"),
        ("<b>bold</b> & b", "b", "&lt;<mark>b</mark>&gt;bold&lt;/<mark>b</mark>&gt; &amp; <mark>b</mark>"),
        ("draft plan", "plan -draft", "draft <mark>plan</mark>"),
        ("ann writes", "from:ann", "ann writes"),
    ],
)
def test_found_words_are_marked_and_everything_else_is_escaped(text: str, query: str, expected: str):
    assert highlight(text, query) == expected


def test_a_word_asked_of_a_field_is_marked_there_only():
    assert highlight("Ann <ann@x>", "from:ann", "from").count("<mark>") == 2
    assert "<mark>" not in highlight("Ann", "subject:ann", "from")


def test_an_excerpt_is_cut_around_the_first_word_found():
    body = "word " * 100 + "needle " + "more " * 100
    shown = excerpt(body, "needle", otherwise="snippet")
    assert "<mark>needle</mark>" in shown
    assert shown.startswith("…word")
    assert shown.endswith("…")
    assert len(shown) < 200
    assert excerpt(body, "absent", otherwise="<snippet>") == "&lt;snippet&gt;"


@given(st.text(max_size=60), st.text(max_size=20))
def test_no_text_breaks_out_of_the_marks(text: str, query: str):
    shown = highlight(text, parse(query))
    assert set("<>") & set(shown.replace("<mark>", "").replace("</mark>", "")) == set()


@given(st.integers(0, 2**54), st.integers(0, 2**54))
def test_sizes_on_the_right_side_of_a_bound_always_have_one_of_its_marks(size: int, bound: int):
    marks = set(terms_of_size(size))
    if size > bound:
        assert marks & set(size_terms_above(bound))
    else:
        assert marks & set(size_terms_up_to(bound))


@given(st.integers(8, 2**49))
def test_sizes_well_past_a_bound_have_none_of_its_marks(bound: int):
    assert not set(terms_of_size(bound * 5 // 8)) & set(size_terms_above(bound))
    assert not set(terms_of_size(bound * 3 // 2)) & set(size_terms_up_to(bound))
