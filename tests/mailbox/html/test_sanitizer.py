"""Mail's HTML is harmless when it is shown, and still looks like the mail."""

from __future__ import annotations

import base64
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.html import images, sanitizer
from mailbox.html.sanitizer import PLACEHOLDER, safe_html, text_to_html
from tests.mailbox.html.hostile_html import HOSTILE

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1 small"  # one pixel
PNG_DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
STYLE = re.compile(r"<head>.*?</head>", re.S)  # ours, not the mail's


class Inspector(HTMLParser):
    """Collects what a document holds that it must not."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in sanitizer.TAGS | {"html", "body"}:
            self.faults.append(f"tag {tag}")
        for name, value in attrs:
            self.inspect_attribute(tag, name, value or "")

    def inspect_attribute(self, tag: str, name: str, value: str) -> None:
        if name == "href":
            if tag != "a" or not re.match(r"(https?://|mailto:)\S*$", value, re.I):
                self.faults.append(f"href {value}")
        elif name == "src":
            if tag != "img" or not re.match(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*$", value):
                self.faults.append(f"src {value}")
        elif name == "style":
            if re.search(r"url|expression|@|\\|position|behavior|binding|image|/\*|[<>{}]", value, re.I):
                self.faults.append(f"style {value}")
        elif name.startswith("on") or name in {"srcset", "background", "id", "class", "name", "action", "formaction"}:
            self.faults.append(f"attribute {name}")

    def handle_comment(self, data: str) -> None:
        self.faults.append("comment")


def inspected(document: str) -> Inspector:
    inspector = Inspector()
    inspector.feed(STYLE.sub("", document.removeprefix("<!doctype html>"), count=1))
    inspector.close()
    return inspector


def body(markup: str, inline: dict[str, tuple[str, bytes]] | None = None) -> str:
    document = safe_html(markup, inline or {}).html
    found = re.search(r"<body[^>]*>(.*)</body>", document, re.S)
    assert found
    return found[1]


@pytest.mark.parametrize("markup", HOSTILE)
def test_nothing_hostile_is_left(markup: str) -> None:
    blocked = safe_html(f"<p>before</p>{markup}<p>after", {})
    assert inspected(blocked.html).faults == []
    # Nor with every image fetched: what takes the place of an address is our own data: and nothing else.
    fetched = dict.fromkeys(blocked.remote_addresses, ("image/png", PNG))
    assert inspected(safe_html(f"<p>before</p>{markup}<p>after", {}, fetched).html).faults == []
    assert "evil.example" not in re.sub(r'href="http[^"]*"', "", body(markup)).replace("http:evil.example", "")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mixed_and_mutated_tricks_leave_nothing_hostile(data: st.DataObject) -> None:
    markup = "".join(data.draw(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4)))
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(markup)))
        cut = data.draw(st.integers(0, 5))
        piece = data.draw(
            st.sampled_from(["<", ">", '"', "'", "/", "=", "\x00", "&#x3c;", "<!--", "-->", "]]>", "<svg>"])
        )
        markup = markup[:at] + piece + markup[at + cut :]
    repeated = markup * data.draw(st.sampled_from([1, 1, 300]))  # many tags take the path of rewritten markup
    assert inspected(safe_html(repeated, {}).html).faults == []


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("<p>Hello <b>you</b></p>", "<p>Hello <b>you</b></p>"),
        ("<p style='color: red; position: fixed'>x</p>", '<p style="color: red">x</p>'),
        ("<p style='background: rgb(201, 2, 3)'>x</p>", '<p style="background: rgb(201, 2, 3)">x</p>'),
        (
            "<table width=6 bgcolor=#eeeeee><tr><td align=center>x</td></tr></table>",
            '<table width="6" bgcolor="#eeeeee"><tbody><tr><td align="center">x</td></tr></tbody></table>',
        ),
        ("<font color=red size=+1 face=Arial>x</font>", '<font color="red" size="+1" face="Arial">x</font>'),
        ("<p dir=rtl lang=ar>سلام</p>", '<p dir="rtl" lang="ar">سلام</p>'),
        ("<blockquote type=cite>quoted</blockquote>", "<blockquote>quoted</blockquote>"),
        ("<form><p>kept text</p></form>", "<p>kept text</p>"),
    ],
)
def test_what_mail_looks_like_is_kept(markup: str, shown: str) -> None:
    assert body(markup) == shown


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://x.example/?a=1&amp;b=2", "https://x.example/?a=1&amp;b=2"),
        ("HTTP://x.example/", "HTTP://x.example/"),
        ("mailto:ann@x.example?subject=Hi", "mailto:ann@x.example?subject=Hi"),
        ("//x.example/", "https://x.example/"),
        (" https://x.example/\n", "https://x.example/"),
    ],
)
def test_links_open_elsewhere_and_tell_nothing(address: str, kept: str) -> None:
    assert body(f'<a href="{address}">x</a>') == (
        f'<a href="{kept}" target="_blank" rel="noopener noreferrer nofollow">x</a>'
    )


def test_remote_images_are_blocked_and_counted_until_asked_for() -> None:
    markup = '<img src="https://x.example/a.png" width="10"><img src="//x.example/b.png"><img src="cid:none">'
    blocked = safe_html(markup, {})
    assert blocked.blocked_images == 2
    assert "x.example" not in blocked.html
    assert body(markup).count(f'src="{PLACEHOLDER}"') == 2
    assert blocked.remote_addresses == ("https://x.example/a.png", "https://x.example/b.png")
    loaded = safe_html(markup, {}, {"https://x.example/b.png": ("image/png", PNG)})
    assert loaded.blocked_images == 1
    assert loaded.html.count(f'src="{PNG_DATA}"') == 1
    assert "x.example" not in loaded.html


def test_inline_images_are_shown_by_their_content_id() -> None:
    assert (
        body('<img src="cid:logo%40x" alt="Logo">', {"logo@x": ("image/png", PNG)})
        == f'<img src="{PNG_DATA}" alt="Logo">'
    )


@pytest.mark.parametrize(
    ("content_type", "octets"),
    [
        ("image/svg+xml", b"<svg onload=alert(1)>"),
        ("image/png", b"<svg onload=alert(1)>"),
        ("text/html", b"<script>"),
        ("image/png", b"\x89PNG\r\n\x1a\n, and then no size"),
    ],
)
def test_inline_images_that_are_no_pictures_are_not_shown(content_type: str, octets: bytes) -> None:
    assert body('<img src="cid:a">', {"a": (content_type, octets)}) == "<img>"


def test_an_image_of_too_many_bytes_is_not_shown_and_the_document_says_so() -> None:
    shown = body('<img src="cid:a">', {"a": ("image/png", PNG + b"x" * images.MAX_IMAGE_BYTES)})
    assert shown.startswith('<img><p class="note">Some images of this message are not shown here')


def test_inline_images_share_one_limit() -> None:
    large = PNG + b"x" * (images.MAX_IMAGE_BYTES - 100)
    inline = dict.fromkeys("abc", ("image/png", large))
    assert body('<img src="cid:a"><img src="cid:b"><img src="cid:c">', inline).count("data:") == 2


def test_data_images_of_raster_types_are_kept() -> None:
    assert body(f'<img src="{PNG_DATA}">') == f'<img src="{PNG_DATA}">'


def test_the_page_colour_of_the_mail_is_kept_within_the_allowed_styles() -> None:
    document = safe_html('<html><body bgcolor="#000000" style="color:#fff;position:fixed"><p>x</body>', {}).html
    assert '<body style="background-color: #000000; color: #fff">' in document


def test_the_frame_allows_nothing_but_links_out_and_inline_pictures() -> None:
    directives = dict(part.strip().partition(" ")[::2] for part in sanitizer.FRAME_CSP.split(";"))
    assert directives["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"
    assert directives["default-src"] == "'none'"
    assert directives["img-src"] == "data:"
    assert directives["frame-ancestors"] == "'self'"
    assert "script-src" not in directives


SLOW = {
    "deep": "<div>" * 1_000_000,
    "unclosed formatting": "".join(f"<font color={n}>" for n in range(60_000)) + "<p>x" * 1_000_000,
    "nested tables": "<table><td>" * 400_000,
    "unclosed paragraphs": "<p>x" * 1_250_000,
    "bare signs": "<" * 5_000_000,
    "open comment": "<!--" * 1_250_000,
    "open quotes": '<a "' * 1_250_000,
    "entities": "&amp;" * 1_000_000,
    "bare ampersands": "&" * 5_000_000,
    "open references": "&#x" * 1_700_000,
    "unknown references": "&notin" * 900_000,
    "references in an attribute": f"<p title='{'&a' * 2_000_000}'>x" * 2,
    "crossed": "<b><div></b>" * 400_000,
    "text": "word " * 1_000_000,
}


@pytest.mark.parametrize("shape", SLOW)
def test_five_megabytes_of_any_shape_are_shown_or_cut_in_time(shape: str) -> None:
    started = time.process_time()
    document = safe_html(SLOW[shape], {}).html
    # Under a second each; a square of the length would be minutes, so that a slow machine does not fail this.
    assert time.process_time() - started < 5
    assert "This message is very long" in document
    assert len(document) < 12_000_000


def test_plain_text_is_escaped_linked_and_its_quotes_are_nested() -> None:
    document = text_to_html("<b> & see https://x.example/a_(b). Mail ann@x.example\n> quoted\n>> deeper\nend")
    assert "&lt;b&gt; &amp; see " in document
    assert '<a href="https://x.example/a_(b)" target="_blank" rel="noopener noreferrer nofollow">' in document
    assert '<a href="mailto:ann@x.example"' in document
    assert "<blockquote>quoted\n<blockquote>deeper\n</blockquote></blockquote>end" in document
    assert inspected(document).faults == []


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["> ", ">", "\n", "http://x", "<script>", '"', "a@b.c ", "&"])).map("".join)
)
def test_any_plain_text_is_harmless(text: str) -> None:
    assert inspected(text_to_html(text)).faults == []
