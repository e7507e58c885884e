"""Normal form C, also of texts that are made to cost time: the same as unicodedata's wherever people write."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.mime.normal_form import MOST_MARKS, PIECE, nfc, without_stacks


@pytest.mark.parametrize("letter", ["é", "한국", "ガ", "நொ", "ậ", "x", " "])
def test_a_long_text_is_cut_between_letters_only(letter: str) -> None:
    apart = unicodedata.normalize("NFD", letter)
    for before in range(len(apart) + 1):
        text = "x" * before + apart * PIECE
        assert nfc(text) == unicodedata.normalize("NFC", text)


@given(
    st.text(alphabet=st.sampled_from("aé\u1112\u1161\u11abか\u3099\u0301\u0315 "), min_size=PIECE, max_size=3 * PIECE)
)
def test_any_mixture_of_letters_and_marks_is_what_unicodedata_makes_of_it(text: str) -> None:
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_a_letter_with_marks_without_end_keeps_all_of_them() -> None:
    text = "x" + "\u0315\u05ae" * 400_000  # unicodedata takes minutes for it
    assert sorted(nfc(text)) == sorted(text)


@pytest.mark.parametrize(
    "text", ["", "plain", "a\u0301\u0323 Việt नमस्ते ภาษาไทย עִבְרִית", "a" + "\u0301" * MOST_MARKS + "b\u0301"]
)
def test_the_marks_of_languages_stay(text: str) -> None:
    assert without_stacks(text) == text


def test_a_stack_of_marks_is_cut_where_no_language_has_more() -> None:
    assert without_stacks("x" + "a" + "\u0301" * 200_000 + "b") == "xa" + "\u0301" * MOST_MARKS + "b"
