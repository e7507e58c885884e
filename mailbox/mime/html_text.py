"""Extracts the text of an HTML body for snippets, search and quotes. Pure, linear in time for any markup."""

from __future__ import annotations

import html
import re
import unicodedata

from mailbox.mime import charsets

_UNSHOWN = frozenset(
    (
        *("head", "style", "script", "title", "template", "noscript", "svg", "math", "object", "select", "textarea"),
        *("applet", "audio", "canvas", "iframe", "noembed", "noframes", "video", "xml", "xmp"),
    )
)
# Elements that do not separate words.
_INLINE = frozenset(
    (
        *("b", "i", "u", "em", "strong", "span", "font", "a", "small", "big", "code", "mark", "s", "strike", "del"),
        *("ins", "sub", "sup", "abbr", "acronym", "kbd", "tt", "samp", "var", "cite", "dfn", "q", "nobr", "label"),
        *("bdo", "bdi", "blink", "time", "wbr", "ruby"),
    )
)
# Elements that begin a new line.
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "center", "dd", "div", "dl", "dt", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre"),
        *("section", "table", "tbody", "tfoot", "thead", "tr", "ul"),
    )
)
_MAX_TAGS = 20_000  # read at most; real mails have some hundreds before the wanted text is complete
# A comment, a tag or a declaration; an unclosed one extends to the end. The alternatives do not overlap: linear time.
_MARKUP = re.compile(
    r"<(?:!--(?:-?>|(?s:.*?)(?:--!?>|\Z))"
    r"|(/?)([a-zA-Z][a-zA-Z0-9]*+)((?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+'|(?!))?+|(?!))*+)(?:>|\Z)"
    r"|[!?][^>]*+(?:>|\Z))"
)
_NO_SIZE = r"(?:0|\.0)(?![0.]*+[1-9])"
_HIDDEN = re.compile(rf"\bdisplay\s*+:\s*+none\b|\shidden(?=[\s=]|\Z)|(?<!-)\bopacity\s*+:\s*+{_NO_SIZE}", re.I)
_CUT = re.compile(r"\boverflow\s*+:\s*+hidden\b", re.I)  # hides the content only together with a height of 0
_NO_HEIGHT = re.compile(rf"(?<!line-)(?<!min-)height\s*+:\s*+{_NO_SIZE}", re.I)
# Elements inside may override these: mails made with MJML have all their text inside cells with font-size 0.
_HIDDEN_BY_ITSELF = re.compile(rf"(?<![\w-])visibility\s*+:\s*+hidden\b|(?<!-)\bfont-size\s*+:\s*+{_NO_SIZE}", re.I)
_SHOWN_WITHIN = re.compile(rf"\bvisibility\s*+:\s*+visible\b|\bfont-size\s*+:\s*+(?!{_NO_SIZE})|\bsize\s*+=", re.I)
_MAY_HIDE = frozenset(
    (
        *("div", "span", "table", "tbody", "tr", "td", "font", "center", "section", "p", "a", "b", "strong", "em", "i"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "header", "footer", "small"),
    )
)
_CLOSING = {name: re.compile(rf"</{name}\b[^>]*+(?:>|\Z)", re.IGNORECASE) for name in _UNSHOWN}


class _Invisible(dict[int, str | None]):
    """Table for str.translate that removes format characters (Cf), except the zero-width joiner of emoji."""

    def __missing__(self, code: int) -> str | None:
        letter = chr(code)
        is_format = unicodedata.category(letter) == "Cf" and letter != "\u200d"
        self[code] = None if is_format else " " if letter == "\u034f" else letter
        return self[code]


_INVISIBLE = _Invisible()
_LINE_END = "\x1e"  # stands for a line break while text is collected, as line ends in the markup are mere spaces
_EMPTY_LINES = re.compile(r"\n{3,}")


def html_words(markup: str, limit: int) -> str:
    """The first `limit` characters of an HTML body's text, with white space collapsed."""
    text = html.unescape("".join(_pieces(markup, limit * 8)))  # more than needed, as entities and spaces shrink it
    if not text.isascii():
        text = text.translate(_INVISIBLE)
    return charsets.storable(" ".join(text.split())[:limit])


def html_lines(markup: str, limit: int) -> str:
    """The first `limit` characters of an HTML body's visible text, one line per block element, for display and quotes.

    Elements hidden by style are left out, and consecutive empty lines become one.
    """
    text = html.unescape("".join(_pieces(markup, limit * 8, lines=True)))
    if not text.isascii():
        text = text.translate(_INVISIBLE)
    lines = (" ".join(line.split()) for line in text.split(_LINE_END))
    return charsets.storable(_EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()[:limit])


class _Hidden:
    """Tracks an element that is hidden by style, and removes its text when it ends. If it never ends, nothing is
    removed."""

    def __init__(self) -> None:
        self.name = ""
        self._may_show = False
        self._depth = 0
        self._since = 0

    def follow(self, tag: re.Match[str], name: str, pieces: list[str]) -> None:
        if self.name:
            if self._may_show and tag[3] and _SHOWN_WITHIN.search(tag[3]):
                self.name = ""
                return
            self._depth += 0 if name != self.name else -1 if tag[1] else 1
            if not self._depth:
                self.name = ""
                del pieces[self._since :]
        elif name in _MAY_HIDE and not tag[1] and tag[3]:
            is_hidden = bool(_HIDDEN.search(tag[3]) or (_NO_HEIGHT.search(tag[3]) and _CUT.search(tag[3])))
            if is_hidden or _HIDDEN_BY_ITSELF.search(tag[3]):
                self.name, self._may_show, self._depth, self._since = name, not is_hidden, 1, len(pieces)


def _pieces(markup: str, wanted: int, *, lines: bool = False) -> list[str]:
    """The text between tags, from the beginning until `wanted` characters are collected.

    lines: put _LINE_END where block elements begin and end, and leave out elements that are hidden by style.
    """
    pieces: list[str] = []
    unclosed: set[str] = set()
    hidden = _Hidden()
    position = in_pre = 0  # in_pre: depth of elements within which line ends in the markup are shown
    tags = _MARKUP.finditer(markup)
    for _ in range(_MAX_TAGS):
        found = next(tags, None)
        if found is None:
            pieces.append(markup[position:])
            break
        start = found.start()
        if start > position:
            piece = markup[position:start]
            pieces.append(piece.replace("\n", _LINE_END) if in_pre > 0 else piece)
            wanted -= len(piece.strip())
            if wanted <= 0:
                break
        position = found.end()
        name = (found[2] or "").lower()
        if lines:
            hidden.follow(found, name, pieces)
            in_pre += 0 if name != "pre" else -1 if found[1] else 1
        if not name or name in _INLINE:  # a comment does not separate words either
            continue
        pieces.append(_LINE_END if lines and name in _BLOCKS else " ")
        if name in _UNSHOWN and not found[1] and name not in unclosed:
            closing = _CLOSING[name].search(markup, start)
            if closing:
                position = closing.end()
                tags = _MARKUP.finditer(markup, position)
            else:
                unclosed.add(name)  # searching again at each such tag would take quadratic time
    return pieces
