"""Endless words get places to break a line, and nothing else of the markup changes."""

from __future__ import annotations

import html
import re

import pytest
from django.template import Context, Template
from hypothesis import given
from hypothesis import strategies as st

from mailbox.html.breaks import LONGEST_WORD, with_breaks
from mailbox.html.sanitizer import safe_html, text_to_html

AIN = "\u0639"  # an Arabic letter, which joins


@pytest.mark.parametrize("markup", ["", "a b", "x" * LONGEST_WORD, "<p>short</p>" * 500 + " ", f"{'y' * 400} " * 9])
def test_what_has_places_to_break_stays_as_it_is(markup: str) -> None:
    if "<p>" not in markup:
        assert with_breaks(markup) == markup
    assert with_breaks(markup).replace("<wbr>", "") == markup


@pytest.mark.parametrize(
    ("markup", "broken"),
    [
        (AIN * 501, AIN * 500 + "<wbr>" + AIN),
        ("&amp;" * 501, "&amp;" * 500 + "<wbr>&amp;"),
        (f"<b>{AIN * 300}</b><i>{AIN * 300}</i>", f"<b>{AIN * 300}</b><i>{AIN * 200}<wbr>{AIN * 100}</i>"),
        (f'<a href="{"z" * 900}">{AIN * 600}</a>', f'<a href="{"z" * 900}">{AIN * 500}<wbr>{AIN * 100}</a>'),
        (f'<a title="x>{"z" * 900}">{AIN}</a>', f'<a title="x>{"z" * 900}">{AIN}</a>'),
    ],
)
def test_a_break_stands_in_the_text_alone(markup: str, broken: str) -> None:
    assert with_breaks(markup) == broken


@given(st.text(alphabet="<>&\"' ab;\n" + AIN, max_size=60), st.integers(1, 40))
def test_without_the_breaks_it_is_the_same_text(text: str, times: int) -> None:
    escaped = html.escape(text * times)
    broken = with_breaks(escaped)
    assert html.unescape(broken.replace("<wbr>", "")) == text * times
    assert max(map(len, re.split(r"\s|<wbr>", html.unescape(broken)))) <= LONGEST_WORD


def test_a_mails_html_its_text_in_print_and_its_text_on_our_pages_have_them() -> None:
    for document in (safe_html(f"<p>{AIN * 5_000}</p>", {}).html, text_to_html(AIN * 5_000)):
        assert document.count("<wbr>") == 9
    page = Template("{% load prx %}{{ text|breakable }}").render(Context({"text": "<b>" + AIN * 5_000}))
    assert page.startswith("&lt;b&gt;") and page.count("<wbr>") == 10


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('<td colspan="3" rowspan="2">', '<td colspan="3" rowspan="2">'),
        ('<td colspan="1000" rowspan="65534">', '<td colspan="100" rowspan="500">'),
        ('<td colspan="99999999999999999999" rowspan="x">', '<td colspan="100">'),
        ('<td colspan="0000000000000999" rowspan="00000000000065534">', '<td colspan="100" rowspan="500">'),
        ('<td colspan=" +2px" rowspan="0">', '<td colspan="2" rowspan="0">'),
        ('<td colspan="0000" rowspan="-3">', '<td colspan="0">'),
    ],
)
def test_a_cell_covers_no_more_of_its_table_than_a_browser_can_lay_out(given: str, kept: str) -> None:
    assert kept in safe_html(f"<table><tbody><tr>{given}x</td></tr></tbody></table>", {}).html
