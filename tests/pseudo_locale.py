"""A language that is English in brackets: what a page shows outside of them was not given to the translators.

The literal pieces of each text of the catalogue are wrapped, its placeholders and tags are not: "⟦Edit ⟧%(account)s".
So a text that is put into another one has to be in the catalogue itself. Numbers that were written as the language has
them (mailbox.localized, sizes) stand in other brackets: "⟪12⟫⟦ mails⟧".
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import django
import pytest
from django.utils import numberformat

CODE = "xx"
ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "locale/en/LC_MESSAGES/django.po"
_DJANGO = Path(django.__file__).parent
# Django's own texts (sizes, months, refusals of fields) have translations of their own; here they are ours, too.
DJANGOS = sorted([_DJANGO / "conf/locale/en/LC_MESSAGES/django.po", *_DJANGO.glob("contrib/*/locale/en/*/django.po")])
_KEPT = re.compile(r"(%\(\w+\)[sd]|%%|%[sd]|\{\w*\}|<[^>]+>|\s*\n\s*)")


def entries(catalogue: Path) -> Iterator[tuple[str, str, str]]:
    """(context, text, plural) of a .po file, "" for what is absent; without its header."""
    for block in catalogue.read_text(encoding="utf-8").split("\n\n"):
        found = {"msgctxt": "", "msgid": "", "msgid_plural": ""}
        name = ""
        for line in block.splitlines():
            if match := re.match(r'(\w+)(?:\[\d\])? (".*")$', line):
                name = match[1]
                found[name] = ast.literal_eval(match[2])
            elif line.startswith('"') and name:
                found[name] += ast.literal_eval(line)
        if found["msgid"]:
            yield found["msgctxt"], found["msgid"], found["msgid_plural"]


def wrapped(text: str) -> str:
    return "".join(
        f"⟪{piece}⟫"
        if piece == "%(size)d"  # of bytes, in Django's sizes: below 1024
        else piece
        if not piece.strip() or _KEPT.fullmatch(piece)
        else f"⟦{piece}⟧"
        for piece in _KEPT.split(text)
    )


def write_catalogue(folder: Path, code: str = CODE, lengthen: int = 0) -> None:
    """Compile it, as `<folder>/<code>/LC_MESSAGES/django.mo` (GNU gettext manual, "The Format of GNU MO Files")."""
    texts = {"": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"}
    tail = " " + "⟦ wide⟧" * lengthen if lengthen else ""
    for catalogue in [*DJANGOS, CATALOGUE]:
        for context, text, plural in entries(catalogue):
            key = f"{context}\x04{text}" if context else text
            key = f"{key}\0{plural}" if plural else key
            texts[key] = "\0".join(wrapped(each) + tail for each in (text, plural) if each)
    target = folder / code / "LC_MESSAGES"
    target.mkdir(parents=True)
    (target / "django.mo").write_bytes(_compiled(texts))


def _compiled(texts: dict[str, str]) -> bytes:
    pairs = sorted((key.encode(), value.encode()) for key, value in texts.items())
    count, tables, body = len(pairs), ([], []), b""
    start = 28 + 16 * count
    for index in (0, 1):
        for pair in pairs:
            tables[index].extend((len(pair[index]), start + len(body)))
            body += pair[index] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return head + struct.pack(f"<{4 * count}I", *tables[0], *tables[1]) + body


class _Shown(HTMLParser):
    """The texts of a page and of its attributes that are shown or read out; where each stands."""

    ATTRIBUTES = ("title", "aria-label", "placeholder", "alt", "data-confirm", "data-label", "data-words")
    # Where people's and servers' own words stand: mail, headers, replies, examples of a search, keys of a keyboard.
    AS_SAID = ("script", "style", "code", "kbd", "pre", "textarea")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, str]] = []
        self.for_programs: list[tuple[str, str]] = []  # the other attributes, and scripts

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        for name in self.ATTRIBUTES:
            if name in values:
                text = values[name]
                # Of a script's words, what is said; not what the script calls it.
                self.found.append(
                    (f"{tag}[{name}]", re.sub(r'"\w+": |\{\w+\}', "", text) if name == "data-words" else text)
                )
        self.for_programs += [(f"{tag}[{name}]", each) for name, each in values.items() if name not in self.ATTRIBUTES]
        if tag not in ("meta", "link", "input", "img", "br", "hr", "path", "rect", "line"):
            self.open.append(f"{tag}[{values['name']}]" if tag == "select" and "name" in values else tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop().partition("[")[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        where = (" ".join(self.open[-2:]), " ".join(data.split()))
        if data.strip() and not any(tag in self.AS_SAID for tag in self.open):
            self.found.append(where)
        elif any(tag in ("script", "style") for tag in self.open):
            self.for_programs.append(where)


def shown_outside(page: str) -> list[tuple[str, str]]:
    """(where, text) of everything with a Latin letter that is not in brackets."""
    parser = _Shown()
    parser.feed(page)
    outside = []
    for where, text in parser.found:
        while text != (text := re.sub(r"⟦[^⟦⟧]*⟧", "\n", text)):
            pass
        outside += [(where, piece.strip()) for piece in text.split("\n") if re.search("[A-Za-z]", piece)]
    return outside


def plain_numbers(page: str) -> list[tuple[str, str]]:
    """(where, text) of everything with a digit that the catalogue has not, and that no language would write its own
    way; without times, which are checked as texts."""
    parser = _Shown()
    parser.feed(page)
    found = []
    for where, text in parser.found:
        while text != (text := re.sub(r"⟦[^⟦⟧]*⟧|⟪[^⟪⟫]*⟫", "\n", text)):
            pass
        if not where.endswith("time") and "time[" not in where:
            found += [(where, piece.strip()) for piece in text.split("\n") if re.search(r"\d", piece)]
    return found


def grouped_for_programs(page: str) -> list[tuple[str, str]]:
    """(where, text) of what a program reads, an address or a value of a form, with a number as a language writes it."""
    parser = _Shown()
    parser.feed(page)
    return [(where, text) for where, text in parser.for_programs if "⟪" in text]


def in_brackets(*given: Any, **more: Any) -> str:
    """A number that is not left as it is (django.utils.numberformat.format)."""
    written = _as_django_does(*given, **more)
    return f"⟪{written}⟫" if more.get("force_grouping") or (len(given) > 2 and given[2] is not None) else written


_as_django_does = numberformat.format


@pytest.fixture
def pseudo(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numberformat, "format", in_brackets)
    write_catalogue(tmp_path)
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = [("en", "English"), (CODE, "⟦Pseudo⟧")]
