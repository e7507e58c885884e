"""A group that is repeated possessively ends in an alternative that fails, `(?:...|(?!))*+`.

Python before 3.11.5, as Debian 12's 3.11.2, goes on from where the last, failed repetition had come to, and not from
where it began (https://github.com/python/cpython/issues/106052): encoded words and file names were read wrongly there.
The alternative sets it back. An atomic group, `(?>(?:...)*)`, needs no such thing, and a hundred bytes a repetition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from tests.test_linear_time import expressions

ONE_CHARACTER = {op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY}


def repeated_possessively(tree: Any) -> Iterator[Any]:
    """What this part of a parsed expression repeats possessively, at any depth."""
    if isinstance(tree, parser.SubPattern):
        for code, argument in tree:
            if code is op.POSSESSIVE_REPEAT:
                yield argument[2]
            yield from repeated_possessively(argument)
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from repeated_possessively(each)


def is_sound(repeated: Any) -> bool:
    ((code, argument), *others) = repeated
    if code is op.SUBPATTERN and not others:
        return is_sound(argument[-1])
    if code is op.BRANCH and not others:
        return always_fails(*argument[1][-1])
    return code in ONE_CHARACTER and not others


def always_fails(*parts: Any) -> bool:
    """Whether this is `(?!)`, as one Python or another parses it."""
    return [*map(str, parts)] in (["(FAILURE, ())"], ["(ASSERT_NOT, (1, []))"])


def unsound(pattern: str | bytes, flags: int = 0) -> list[Any]:
    return [each for each in repeated_possessively(parser.parse(pattern, flags)) if not is_sound(each)]


def test_no_group_goes_on_from_where_a_failed_repetition_ended() -> None:
    assert [each.where for each in expressions() if unsound(each.pattern.pattern, each.pattern.flags)] == []


@pytest.mark.parametrize("pattern", [r"(?:ab?)*+", r"x(a|b(?!c))++", r"(?:-a)?+", r"(?:(?:ab)*+|(?!)){2,3}+"])
def test_such_a_group_is_found(pattern: str) -> None:
    assert len(unsound(pattern)) == 1


@pytest.mark.parametrize("pattern", [r"[ab]*+", r"(?:ab?|(?!))*+", r"(a|b(?!c)|(?!))++", r"(?>(?:ab?)*)", r"(?:a)?+"])
def test_others_are_not(pattern: str) -> None:
    assert unsound(pattern) == []


def test_the_alternative_that_fails_changes_nothing_that_is_found() -> None:
    found = re.fullmatch(r"=\?((?:[^?=]|=(?!\?)|\?(?!=)|(?!))*+)\?=", "=?Gr=C3=BC=20?=")
    assert found and found[1] == "Gr=C3=BC=20"
