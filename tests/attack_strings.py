"""Texts that make a backtracking regular expression slow, derived from the expression's own parse tree.

A slow match needs a beginning that fits (a prefix), a stretch that several parts of the expression can share among
themselves (a pump), and an end that fails. All three are taken from the letters of the expression.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

COMMON = ' \n\ta<@"\\'
_CATEGORY = {
    op.CATEGORY_DIGIT: "1",
    op.CATEGORY_SPACE: " ",
    op.CATEGORY_WORD: "w",
    op.CATEGORY_NOT_DIGIT: "x",
    op.CATEGORY_NOT_SPACE: "x",
    op.CATEGORY_NOT_WORD: "!",
}
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
MOST_PREFIXES, MOST_PUMPS = 20, 36


def attacks(pattern: re.Pattern[Any], length: int) -> Iterator[str]:
    """Each attack about `length` characters long."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    tree = list(_parser.parse(source, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else 0))
    letters = list(dict.fromkeys([*_letters(tree), *COMMON]))[:20]
    prefixes = list(dict.fromkeys(["", *_prefixes(tree, "")]))[:MOST_PREFIXES]
    pairs = ["".join(each) for each in itertools.permutations(letters[:5], 2)]
    pumps = list(dict.fromkeys([*_bodies(tree), *letters, *pairs]))[:MOST_PUMPS]
    for prefix, pump in itertools.product(prefixes, pumps):
        long = prefix + pump * (max(length - len(prefix), 0) // len(pump))
        for end in ("", "\x01", "\n"):
            yield long + end
        yield (prefix + pump) * (length // len(prefix + pump))


def _letters(tree: Any) -> Iterator[str]:
    """Each literal letter of the expression, and one of each class in it."""
    for kind, value in tree:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.RANGE:
            yield chr(value[0])
        elif kind is op.CATEGORY:
            yield _CATEGORY[value]
        elif kind is op.IN:
            yield from _letters(value)
            yield _one_of(value)
        for inner in _inner(kind, value):
            yield from _letters(inner)


def _inner(kind: Any, value: Any) -> list[Any]:
    """The expressions inside this one."""
    if kind in _REPEATS:
        return [value[2]]
    if kind is op.SUBPATTERN:
        return [value[3]]
    if kind is op.BRANCH:
        return list(value[1])
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return [value[1]]
    if kind is op.ATOMIC_GROUP:
        return [value]
    return [each for each in value[1:] if each] if kind is op.GROUPREF_EXISTS else []


def _one_of(items: Any) -> str:
    """A letter that the class [...] matches."""
    source = [item for item in items if item[0] is not op.NEGATE]
    tried = [*_letters(source), *"xa1 !-@\n\x01"]
    if len(source) != len(items):
        barred = {letter for letter in tried if any(_matches(item, letter) for item in source)}
        return next((letter for letter in tried if letter not in barred), "x")
    return tried[0]


def _matches(item: Any, letter: str) -> bool:
    kind, value = item
    if kind is op.LITERAL:
        return chr(value) == letter
    if kind is op.RANGE:
        return bool(value[0] <= ord(letter) <= value[1])
    negated = {op.CATEGORY_SPACE: letter.isspace(), op.CATEGORY_DIGIT: letter.isdigit()}
    return bool(negated.get(value, letter.isalnum() or letter == "_"))


def _example(tree: Any) -> str:
    """A short text that the expression matches, roughly: assertions are passed over."""
    text = ""
    for kind, value in tree:
        if kind is op.LITERAL:
            text += chr(value)
        elif kind is op.NOT_LITERAL:
            text += "x" if value != ord("x") else "y"
        elif kind is op.IN:
            text += _one_of(value)
        elif kind is op.ANY:
            text += "x"
        elif kind in _REPEATS:
            text += _example(value[2]) * min(max(value[0], 1), 50)
        elif kind not in (op.ASSERT, op.ASSERT_NOT):
            text += "".join(_example(inner) for inner in _inner(kind, value)[:1])
    return text


def _prefixes(tree: Any, before: str) -> Iterator[str]:
    for kind, value in tree:
        yield before
        if kind not in (op.ASSERT, op.ASSERT_NOT):
            for inner in _inner(kind, value):
                yield from _prefixes(inner, before)
        before += _example([(kind, value)])
    yield before


def _bodies(tree: Any) -> Iterator[str]:
    """What is repeated."""
    for kind, value in tree:
        if kind in _REPEATS and (body := _example(value[2])):
            yield body
        for inner in _inner(kind, value):
            yield from _bodies(inner)
