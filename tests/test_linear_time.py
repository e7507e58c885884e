"""Every regular expression of the product takes linear time, whatever a stranger writes.

The expressions are found by walking the sources, so a new one is tried without being entered anywhere; one that this
test cannot make out fails it, until LOCAL says what its local names hold.
"""

from __future__ import annotations

import ast
import importlib
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.attack_strings import attacks
from tests.read_sources import MODULES, source, tree

LENGTH = 100_000
TRIED = 500  # characters of the first round, which chooses what is tried at full length
CPU_SECONDS = 1.5  # for LENGTH characters; a quadratic expression takes minutes
FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
USES = FUNCTIONS - {"compile"}
# Names that hold a value only while a function runs, with a value they have there.
LOCAL: dict[str, dict[str, Any]] = {
    "mailbox.mime.tree": {"subtype": b"plain"},
    "mailbox.mime.html_text": {"name": "script"},
    "prx_email_site.personal_data.address": {"any_way": r"eve@example\.net|eve%40example\.net"},
}
# Built in a function that a module calls at its top: the expressions are found in what the module keeps.
KEPT_BY_MODULE = {"outbox.retry.throttling", "mailbox.accounts.troubleshooting", "mailbox.autoconfig.servers"}
# Characters of the longest text that it is given: it is cut where the expression is used.
BOUNDED = {"mailbox.mime.charsets.decoding:_META_CHARSET": 2048}


@dataclass(frozen=True)
class Expression:
    where: str
    pattern: re.Pattern[Any]
    uses: frozenset[str]

    def __str__(self) -> str:
        return self.where


@cache
def calls(module: str) -> list[ast.Call]:
    """The calls of functions of `re`."""
    if not re.search(r"\bre\s*\.", source(module)):  # most modules: each process of a run looks at all of them
        return []
    return [
        node
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in FUNCTIONS
    ]


@cache
def uses_of_names(module: str) -> dict[str, set[str]]:
    """Name of an expression -> the methods called on it in its module, which alone uses it."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and node.attr in USES:
            owner = node.value.value if isinstance(node.value, ast.Subscript) else node.value
            found.setdefault(ast.unparse(owner), set()).add(node.attr)
    return found


def compiled(module: str, call: ast.Call) -> re.Pattern[Any] | None:
    """The expression of this call; None when its words are not known before the program runs."""
    scope = {**vars(importlib.import_module(module)), **LOCAL.get(module, {})}
    position = {"sub": 4, "subn": 4, "split": 3, "compile": 1}.get(call.func.attr, 2)  # type: ignore[attr-defined]
    flags = [each.value for each in call.keywords if each.arg == "flags"] or call.args[position : position + 1]
    try:
        source = eval(compile(ast.Expression(call.args[0]), module, "eval"), scope)
        value = eval(compile(ast.Expression(flags[0]), module, "eval"), scope) if flags else 0
    except NameError:
        return None
    return source if isinstance(source, re.Pattern) else re.compile(source, value)


def name_of(module: str, call: ast.Call) -> str:
    for node in tree(module).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if target is not None and any(inner is call for inner in ast.walk(node)):
            return ast.unparse(target)
    return ""


def kept(value: Any, depth: int = 4) -> Iterator[re.Pattern[Any]]:
    """The expressions in what a module keeps: in its tables, and in the fields of their rows."""
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, dict):
        yield from kept(list(value.values()), depth)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from kept(each, depth - 1)
    elif depth and hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        yield from kept(list(vars(value).values()), depth - 1)


def expressions() -> list[Expression]:
    found: dict[tuple[str, Any, int], Expression] = {}
    for module in MODULES:
        for call in calls(module):
            pattern, name = compiled(module, call), name_of(module, call)
            where = f"{module}:{name or call.lineno}"
            method = call.func.attr  # type: ignore[attr-defined]
            uses = {method} if method in USES else uses_of_names(module).get(name) or USES
            if pattern is not None:
                found[where, pattern.pattern, pattern.flags] = Expression(where, pattern, frozenset(uses))
            elif module not in KEPT_BY_MODULE:
                pytest.fail(f"{where}: say in LOCAL what the names in this expression hold.")
        if module in KEPT_BY_MODULE:
            values = vars(importlib.import_module(module)).values()
            for number, pattern in enumerate(each for value in values for each in kept(value)):
                where = f"{module}:{number}"
                found[where, pattern.pattern, pattern.flags] = Expression(where, pattern, frozenset(USES))
    return list(found.values())


def use(each: Expression, text: str) -> None:
    subject: Any = text.encode("latin-1", "replace") if isinstance(each.pattern.pattern, bytes) else text
    actions: dict[str, Callable[[], object]] = {
        "search": lambda: each.pattern.search(subject),
        "match": lambda: each.pattern.match(subject),
        "fullmatch": lambda: each.pattern.fullmatch(subject),
        "sub": lambda: each.pattern.sub(subject[:0], subject),
        "all": lambda: sum(1 for _ in each.pattern.finditer(subject)),
    }
    for method in {name if name in actions else "all" for name in each.uses}:
        actions[method]()


class TooSlow(Exception):
    pass


def cpu_time(action: Callable[[], object], most: float) -> float:
    """CPU seconds that it took, `most` when it took more and was stopped."""

    def stop(*_: object) -> None:
        raise TooSlow

    former = signal.signal(signal.SIGPROF, stop)
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, most)
    try:
        action()
        return time.process_time() - started
    except TooSlow:
        return most
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


def slowest(each: Expression) -> tuple[float, str]:
    """The time for the worst text of full length, and how that text begins."""
    length = BOUNDED.get(each.where, LENGTH)
    timed = []
    for number, text in enumerate(attacks(each.pattern, min(TRIED, length))):
        started = time.thread_time_ns()
        use(each, text)
        timed.append((time.thread_time_ns() - started, number))
    worst = {number for _, number in sorted(timed, reverse=True)[:4]}
    return max(
        (cpu_time(lambda: use(each, text), CPU_SECONDS), text[:60])  # noqa: B023 - called at once
        for number, text in enumerate(attacks(each.pattern, length))
        if number in worst
    )


@pytest.mark.parametrize("each", expressions(), ids=str)
@pytest.mark.in_part(2)
def test_an_expression_takes_linear_time(each: Expression) -> None:
    seconds, text = slowest(each)
    assert seconds < CPU_SECONDS, f"{each.where} {each.pattern.pattern!r} is slow on {text!r}..."


@pytest.mark.parametrize(
    "source",
    [
        r"^<([^<>\s]+@[^<>\s]+)>:",
        r"(a+)+$",
        *(pytest.param(each, marks=pytest.mark.long) for each in (r"\s+$", r"(?:a|ab)*c", r"x*y*z", r"<!--.*?-->")),
    ],
)
@pytest.mark.in_part(2)
def test_a_slow_expression_is_found(source: str) -> None:
    """Else the test above shows nothing."""
    each = Expression(source, re.compile(source, re.DOTALL), frozenset({"search"}))
    small = max(attacks(each.pattern, 24), key=lambda text: cpu_time(lambda: use(each, text), 0.2))
    assert cpu_time(lambda: use(each, small), 0.2) >= 0.2 or slowest(each)[0] >= CPU_SECONDS


def test_the_expressions_are_found() -> None:
    assert len(expressions()) > 100
    assert sys.modules["outbox.bounces.dsn_report"]
