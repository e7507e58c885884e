"""The words of an HTML body: what a reader sees, and nothing that takes long."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime.html_text import html_lines, html_words


class CarefulReader(HTMLParser):
    """The standard library's reading of the same, tag by tag."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in ("style", "script", "title")
        self.pieces.append("" if tag in ("b", "a", "span") else " ")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("style", "script", "title")
        self.pieces.append("" if tag in ("b", "a", "span") else " ")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(data)


PIECES = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<b>",
        "</b>",
        '<a href="x">',
        "</a>",
        "<br/>",
        "<SPAN class=x>",
        "</SPAN>",
        "word",
        "wörter",
        " ",
        "\n",
        "&amp;",
        "&lt;",
        "&#233;",
        "<style>p{}</style>",
        "<script>if(a<b){}</script>",
        "<title>t</title>",
        "<!-- c -->",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_it_reads_what_the_careful_parser_reads(markup: str) -> None:
    careful = CarefulReader()
    careful.feed(markup)
    careful.close()
    assert html_words(markup, 10_000) == " ".join("".join(careful.pieces).split())


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("a<b>b</b>c <p>d", "abc d"),
        ("3 < 4 <p>x", "3 < 4 x"),
        ("<p title='<!--'>shown", "shown"),
        ("soft\u00adhyphen\u200b \u034f\u034f \u2060end", "softhyphen end"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("<head><title>t</title></head><header>shown</header>", "shown"),
        ("<STYLE>x</sTyLe >shown", "shown"),
        ("<script>never closed", "never closed"),
        ("before<!-- never closed", "before"),
        ("before<p never closed", "before"),
        ("<![CDATA[x]]><?xml y?>z", "z"),
        ("a&nbsp;b\x00c", "a b\ufffdc"),
        ("<p title='a > b'>c</p><a href=\"x>y\">d</a>", "c d"),
        ("H<sub>2</sub>O x<wbr>y a<!-- b -->c<!-->d<!--->e<!-- f --!>g", "H2O xy acdeg"),
        ("<iframe>no</iframe><xml><o:x>no</o:x></xml><video>no</video>shown", "shown"),
    ],
)
def test_what_a_reader_sees(markup: str, words: str) -> None:
    assert html_words(markup, 1000) == words


def test_the_lines_of_preformatted_text_are_quoted_as_lines() -> None:
    """As scripts send what a program printed."""
    markup = "<p>Log\nof today:</p><pre>one\n  two <b>bold\nthree</b>\n</pre>and\nmore"
    assert html_lines(markup, 1000) == "Log of today:\n\none\ntwo bold\nthree\n\nand more"


@pytest.mark.parametrize(
    "hidden",
    [
        *(
            '<div style="display:none">no<div>no</div></div>',
            "<span hidden>no</span>",
            '<p style="font-size:0px">no</p>',
        ),
        *('<i style="visibility:hidden">no</i>', '<div style="opacity:0">no</div>', '<b style="opacity: .0">no</b>'),
        '<div style="max-height:0;overflow:hidden">no</div>',
        '<h1 style="overflow:hidden;height:0px">no</h1>',
        *('<table><tr style="display:none"><td>no</td></tr></table>', "<ul hidden><li>no</li></ul>"),
    ],
)
def test_a_quote_has_no_words_that_nobody_saw(hidden: str) -> None:
    assert html_lines(f"<p>seen</p>{hidden}<p>too", 1000).split() == ["seen", "too"]


@pytest.mark.parametrize("size", ['style="font-size:14px"', 'style="FONT-SIZE: 0.9em"', 'size="3"'])
def test_text_with_a_size_of_its_own_is_seen_within_an_element_of_none(size: str) -> None:
    """As MJML lays mails out: `font-size:0` in the cell takes the blanks away between its blocks."""
    cell = f'<td style="direction:ltr;font-size:0px;padding:20px 0"><div><font {size}>seen</font></div></td>'
    assert html_lines(f"<table><tr>{cell}</tr></table><p>too", 1000).split() == ["seen", "too"]


@pytest.mark.parametrize(
    "style", ["opacity:0.5", "opacity:.05", "height:0", "line-height:0;overflow:hidden", "backface-visibility:hidden"]
)
def test_what_is_seen_is_quoted(style: str) -> None:
    assert html_lines(f'<div style="{style}">yes</div>', 100) == "yes"


def test_what_hides_and_never_ends_hides_nothing() -> None:
    assert html_lines('<div style="display: none">a<p>b', 1000).split() == ["a", "b"]


def test_padding_does_not_use_up_what_is_looked_at() -> None:
    assert html_words("<td>" + " \n" * 3000 + "</td><p>text", 120) == "text"


@pytest.mark.parametrize(
    "markup",
    [
        "<script>" * 250_000,
        "<!--" * 500_000,
        "<" * 2_000_000,
        "<a" * 1_000_000,
        "<style></style" * 140_000,
        "&" * 2_000_000,
        "<p>&lt" * 300_000,
        "<title>x</title >" * 110_000,
        "\u200b<b>" * 500_000,
    ],
)
@pytest.mark.parametrize("limit", [120, 200_000])
def test_two_million_characters_of_anything_are_read_at_once(markup: str, limit: int) -> None:
    started = time.process_time()
    html_words(markup, limit)
    assert time.process_time() - started < 2
