"""Splits an address list (RFC 5322 sections 3.4 and 4.4, and common deviations) into items of tokens. Pure.

One pass from left to right, without recursion and without backtracking, so that time is linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

_SPACE = re.compile(r"[ \t\r\n]++")
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,60}\?[bBqQ]\?[^?\r\n]*+\?=")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.|(?!))*+)"', re.S)
# Characters of an atom, including dots and "@"; a domain literal may contain colons (RFC 5321 section 4.1.3).
_WORD = re.compile(r'(?:[^ \t\r\n,;:<>()"\\@]|@(?:\[[^\[\]()<>\s,;"]{0,64}+\]|(?!))?+|\\.|(?!))++', re.S)
_ANGLE = re.compile(r'<([^<>"]*+(?:"(?:[^"\\]|\\.|(?!)){0,320}+"[^<>"]*+|(?!))*+)>', re.S)
_OPEN_ANGLE = re.compile(r"<([^<>,;]*+)")
_ESCAPE = re.compile(r"\\(.)", re.S)
# The end of a "quoted string" that began with an unclosed quote and contains another item's address.
_SWALLOWED = re.compile(r"<[^<>\s@]{1,256}@[^<>\s@]{1,256}>[ \t]{0,9}[,;][ \t\r\n]{0,9}\Z")
_LABEL = re.compile(r"(?:to|cc|from|sender|reply-to|an|von|e-?mail|mail|para|de|à)", re.I)
_SCHEME = re.compile(r"(?:mailto|smtp)\Z", re.I)


class TokenKind(Enum):
    """The kinds of tokens: atoms, quoted strings, comments, angle addresses (RFC 5322, 3.2 and 3.4)."""

    WORD = auto()
    QUOTED = auto()
    COMMENT = auto()
    ANGLE = auto()  # the text between < and >


@dataclass(frozen=True, slots=True)
class AddressToken:
    """One token of an address list."""

    kind: TokenKind
    text: str  # without quotes, brackets and escapes; a WORD is unchanged
    gap: str = ""  # the white space before it


@dataclass(slots=True)
class Item:
    """The tokens between two separators."""

    tokens: list[AddressToken] = field(default_factory=list)
    start: int = 0
    end: int = 0
    separator: str = ""  # the one that follows: ",", ";" or "\n"; "" at the end of the text
    has_angle: bool = False
    has_at: bool = False  # outside of comments
    is_open: bool = False  # its "<" has no ">"
    is_uri: bool = False  # it began with "mailto:", so a "?" ends the address (RFC 6068)

    def add(self, token: AddressToken) -> None:
        """Append a token, and note whether the item has an angle address and an "@"."""
        self.tokens.append(token)
        self.has_angle = self.has_angle or token.kind is TokenKind.ANGLE
        self.has_at = self.has_at or (token.kind is not TokenKind.COMMENT and "@" in token.text)


def unescaped(text: str) -> str:
    """A quoted string's or a comment's text without its quoted-pairs."""
    return _ESCAPE.sub(r"\1", text)


class _Scanner:
    def __init__(self, text: str, lines_separate: bool) -> None:
        self.text = text
        self.lines_separate = lines_separate
        self.comments = _comments(text)
        self.last_semicolon = text.rfind(";")
        self.quotes_end_at = len(text)  # from here on, no quote has a closing one
        self.item = Item()
        self.gap = ""
        self.is_first = True

    def items(self) -> Iterator[Item]:
        at = 0
        while at < len(self.text):
            at, item = self._step(at)
            if item is not None:
                yield item
        self.item.end = at
        yield self.item

    def _step(self, at: int) -> tuple[int, Item | None]:
        letter = self.text[at]
        if space := _SPACE.match(self.text, at):
            if self._is_line_end(space):
                return self._ended(at, space.end(), "\n")
            self.gap += space[0]
            return space.end(), None
        if letter in ",;":
            return self._ended(at, at + 1, letter)
        if letter == ":":
            return self._colon(at), None
        if letter == "(" and at in self.comments:
            end = self.comments[at]
            return self._add(TokenKind.COMMENT, unescaped(self.text[at + 1 : end]), end + 1), None
        if letter == "<" or (letter == ">" and self.item.has_angle):
            return self._angle(at), None
        if letter == '"' and (quoted := self._quoted(at)):
            return self._add(TokenKind.QUOTED, unescaped(quoted[1]), quoted.end()), None
        word = _ENCODED_WORD.match(self.text, at) or _WORD.match(self.text, at)
        end = word.end() if word else at + 1  # an unmatched bracket or quote
        return self._add(TokenKind.WORD, self.text[at:end], end), None

    def _is_line_end(self, space: re.Match[str]) -> bool:
        if not self.lines_separate or not ("\n" in space[0] or "\r" in space[0]):
            return False
        return self.text[space.end() : space.end() + 1] != "<"  # else the address of the name before is on this line

    def _ended(self, end: int, behind: int, separator: str) -> tuple[int, Item]:
        done = self.item
        done.end, done.separator = end, separator
        self.item, self.gap, self.is_first = Item(start=behind), "", False
        return behind, done

    def _add(self, kind: TokenKind, text: str, end: int) -> int:
        self.item.add(AddressToken(kind, text, self.gap))
        self.gap = ""
        return end

    def _quoted(self, at: int) -> re.Match[str] | None:
        if at >= self.quotes_end_at:
            return None
        quoted = _QUOTED.match(self.text, at)
        if quoted is None:
            self.quotes_end_at = at
            return None
        return None if _SWALLOWED.search(quoted[1][-540:]) else quoted

    def _angle(self, at: int) -> int:
        if self.text[at] == ">" or self.text[at + 1 : at + 2] == "<":
            return at + 1  # a doubled bracket
        angle = _ANGLE.match(self.text, at)
        if angle is None:
            self.item.is_open = True
            angle = _OPEN_ANGLE.match(self.text, at)
        assert angle
        return self._add(TokenKind.ANGLE, angle[1], angle.end())

    def _colon(self, at: int) -> int:
        """Handle a colon: it ends a group's name (RFC 5322 section 3.4), "mailto:", or the label of a pasted "To: ".

        Any other colon is part of a word.
        """
        tokens = self.item.tokens
        if tokens and tokens[-1].kind is TokenKind.WORD and _SCHEME.search(tokens[-1].text):
            gap = tokens.pop().gap
            self.gap = gap or self.gap
            self.item.is_uri = True
        elif self.text.startswith("//", at + 1):  # the URL of a web page
            self._add(TokenKind.WORD, ":", at + 1)
        elif tokens and not self.item.has_at and (at < self.last_semicolon or self._is_label()):
            tokens.clear()
            self.item.has_angle = self.item.is_open = False
            self.item.start, self.gap = at + 1, ""
        else:
            self._add(TokenKind.WORD, ":", at + 1)
        return at + 1

    def _is_label(self) -> bool:
        """Whether the words before a colon are a label such as "To". After the first item only names of _LABEL are."""
        tokens = self.item.tokens
        return self.lines_separate and (
            self.is_first or (len(tokens) == 1 and _LABEL.fullmatch(tokens[0].text) is not None)
        )


def _comments(text: str) -> dict[int, int]:
    """Position of each outermost comment -> its end. An unclosed "(" is an ordinary character."""
    found, open_at = _balanced(text, len(text))
    return found if open_at is None else _balanced(text, open_at)[0]


def _balanced(text: str, end: int) -> tuple[dict[int, int], int | None]:
    """The comments that begin before `end`, and the position of an unclosed one, else None."""
    if "(" not in text:
        return {}, None
    found: dict[int, int] = {}
    depth = start = at = 0
    quotes_end_at = len(text)
    while at < len(text) and (depth or at < end):
        letter = text[at]
        if letter == "\\":
            at += 1
        elif letter == "(":
            start = start if depth else at
            depth += 1
        elif letter == ")" and depth:
            depth -= 1
            if not depth:
                found[start] = at
        elif letter == '"' and not depth and at < quotes_end_at:
            quoted = _QUOTED.match(text, at)
            at, quotes_end_at = (quoted.end() - 1, quotes_end_at) if quoted else (at, at)
        at += 1
    return found, start if depth else None


def scan(text: str, *, lines_separate: bool = False) -> Iterator[Item]:
    """Split a list into items, including empty ones. lines_separate: line ends are separators, as in pasted text."""
    return _Scanner(text, lines_separate).items()
