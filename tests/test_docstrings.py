"""Every function and class that another file uses has a docstring. Nothing is exempt.

What such a docstring must say no test can read: what is done and returned, the units of numbers, what is raised, the
RFC or other source of a rule; more than the name says, or it is left to the name to be made clearer.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from tests.read_sources import MODULES, absolute, tree

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def definitions(module: str) -> dict[str, Definition]:
    """A module's own functions and classes, also under `if` and `try`, without those of a leading underscore."""
    found: dict[str, Definition] = {}
    waiting: list[ast.stmt] = [*tree(module).body]
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, Definition):
            if not statement.name.startswith("_"):
                found[statement.name] = statement
        elif isinstance(statement, ast.If | ast.Try):
            waiting += [*statement.body, *statement.orelse]
    return found


@cache
def names_from_elsewhere(module: str) -> dict[str, str]:
    """What a module's imports bind, at the top and inside functions: the name here to the full name."""
    found: dict[str, str] = {}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            found |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname or alias.name: alias.name for alias in node.names if alias.asname}
    return found


def dotted(node: ast.expr) -> str | None:
    """`module.part.name` as one text; None when it does not begin with a plain name."""
    if isinstance(node, ast.Name):
        return node.id
    before = dotted(node.value) if isinstance(node, ast.Attribute) else None
    return f"{before}.{node.attr}" if before and isinstance(node, ast.Attribute) else None


def uses(module: str) -> Iterator[str]:
    """The full names a module takes from others: imported, as `module.name`, or as a dotted path in a string."""
    bound = names_from_elsewhere(module)
    yield from bound.values()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute):
            head, _, rest = (dotted(node) or "").partition(".")
            if head in bound:
                yield f"{bound[head]}.{rest}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value


def home(name: str) -> tuple[str, str] | None:
    """The module and the name of a definition, also where a package's `__init__` hands it on; None of all else."""
    module, _, last = name.rpartition(".")
    if module not in MODULES:
        return None
    if last in definitions(module):
        return module, last
    onward = names_from_elsewhere(module).get(last)
    return home(onward) if onward and onward != name else None


@cache
def public() -> dict[tuple[str, str], set[str]]:
    """Each function and class that another file uses, with these files."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for module in MODULES:
        for name in uses(module):
            if (at := home(name)) and at[0] != module:
                found[at].add(module)
    return found


def test_a_use_is_found_in_each_of_its_forms() -> None:
    """Imported by name, as an attribute of a module, handed on by a package, and named by a string alone."""
    assert "mailbox.completeness.walk" in public()["mailbox.imap.session", "ImapSession"]
    assert "mailbox.public_hosts" in public()["mailbox.network", "demand"]
    assert "mailbox.schedules" in public()["mailbox.tasks.completeness", "compare_due"]
    assert "prx_email_site.settings" in public()["prx_email_site.context_processors", "chrome"]


def test_what_another_file_uses_has_a_docstring() -> None:
    bare = {f"{module}.{name}" for module, name in public() if ast.get_docstring(definitions(module)[name]) is None}
    assert bare == set()
