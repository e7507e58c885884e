"""The plain text of a mail that was written as HTML: its text/plain part, what it is compared by, and what stays of it
when its writer goes on in plain text. Pure.

Reads what formatted_text.clean wrote: well-formed, of few elements.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "tr"})
_SPACES = re.compile(r"[ \t\r\n]+")


def text_of(html: str) -> str:
    """The text with quotes (>), items (- and 1.), the addresses of links and the words of pictures in brackets."""
    reader = _Lines()
    reader.feed(html)
    reader.close()
    text = "\n".join(reader.ended()).rstrip()
    return f"{text}\n" if text else ""


class _Lines(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line = ""
        self._prefixes: list[str] = []  # of quotes and items, outermost first
        self._marker = ""  # of the item that has no line yet
        self._numbers: list[int | None] = []  # of the next item of each open list; None: it has no numbers
        self._is_apart = False  # whether an empty line stands before what is written next
        self._was_written = True  # whether the paragraph has a line
        self._link: tuple[str, int] | None = None
        self._verbatim = 0

    def ended(self) -> list[str]:
        self._end_line()
        return self._lines

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _PARAGRAPHS:
            self._end_line()
            self._was_written = False
            self._verbatim += tag == "pre"
        elif tag == "blockquote":
            self._begin_quote()
        elif tag in ("ul", "ol"):
            self._begin_list(given.get("start") if tag == "ol" else None, is_numbered=tag == "ol")
        elif tag == "li":
            self._begin_item()
        elif tag == "br":
            self._end_line(even_empty=True)
        elif tag == "hr":
            self._end_line()
            self._line = "---"
            self._end_line()
            self._is_apart = True
        elif tag == "img":
            self._line += f"[{given.get('alt') or ''}]" if given.get("alt") else ""
        elif tag == "a":
            self._link = (given.get("href") or "", len(self._line))
        elif tag in ("td", "th") and self._line:
            self._line += " | "

    def handle_endtag(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._end_line(even_empty=not self._was_written)
            self._verbatim -= tag == "pre"
            self._is_apart = tag != "tr"
        elif tag in ("blockquote", "li"):
            self._end_line()
            self._prefixes.pop()
            self._marker = ""
            self._is_apart = tag == "blockquote"
        elif tag in ("ul", "ol"):
            self._end_line()
            self._numbers.pop()
            self._is_apart = not self._numbers
        elif tag == "table":
            self._is_apart = True
        elif tag == "a" and self._link:
            address, start = self._link
            shown = self._line[start:].strip()
            if address and shown not in (address, address.removeprefix("mailto:"), address.removesuffix("/")):
                self._line += f" <{address}>"
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._verbatim:
            first, *others = data.split("\n")
            self._line += first
            for line in others:
                self._end_line(even_empty=True)
                self._line = line
            return
        words = _SPACES.sub(" ", data)
        self._line += words if self._line else words.lstrip(" ")

    def _begin_quote(self) -> None:
        self._end_line()
        # "On Monday Ann wrote:" stands directly above what she wrote.
        self._is_apart = self._is_apart and not self._lines[-1].endswith(":")
        self._separate()
        self._prefixes.append("> ")

    def _begin_list(self, start: str | None, *, is_numbered: bool) -> None:
        self._end_line()
        self._is_apart = self._is_apart and not self._numbers
        first = int(start) if start and start.isascii() and start.isdigit() and len(start) < 9 else 1
        self._numbers.append(first if is_numbered else None)

    def _begin_item(self) -> None:
        self._end_line()
        number = self._numbers[-1] if self._numbers else None
        self._marker = "- " if number is None else f"{number}. "
        if number is not None:
            self._numbers[-1] = number + 1
        self._separate()
        self._prefixes.append(" " * len(self._marker))

    def _separate(self) -> None:
        if self._is_apart:
            self._lines.append(self._prefix().rstrip())
            self._is_apart = False

    def _prefix(self) -> str:
        return "".join(self._prefixes).replace("> >", ">>").replace("> >", ">>")

    def _end_line(self, *, even_empty: bool = False) -> None:
        if not self._line and not even_empty:
            return
        if self._line and not self._marker:
            self._separate()
        prefix, self._is_apart = self._prefix(), self._is_apart and not self._line
        if self._marker:
            prefix, self._marker = prefix[: len(prefix) - len(self._marker)] + self._marker, ""
        line = (prefix + self._line.replace("\u00a0", " ")).rstrip()
        self._lines.append("-- " if line == "--" else line)  # the signature's separator (RFC 3676 4.3)
        self._line, self._was_written = "", True
