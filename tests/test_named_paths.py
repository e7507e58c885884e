"""What documents, docstrings and comments name is there: files, headings, modules and what stands in them."""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path

import pytest

from tests.read_sources import APPS, MODULES, ROOT, source, tree

PAPERS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|html|js|css|yml|toml|md))`")
DOTTED = re.compile(rf"(?<![\w.\"'/@-])((?:{'|'.join(APPS)})(?:\.[A-Za-z_]\w*)+)(?![\w/-])")
SHORT = re.compile(r"(?<![\w.\"'/@-])([a-z_]+(?:\.[A-Za-z_]\w*)+)(?![\w/-])")
PACKAGES = {name for module in MODULES for name in (module, *(module.rsplit(".", end)[0] for end in (1, 2)))}
# Not modules: kinds of events, columns, and files.
OTHERS = re.compile(
    r"outbox\.(sent|failed|uncertain|bounced|complaint|id)$|message\.(new|flags|gone)$|sync\.behind$"
    r"|restore\.unfinished$|\w+\.(md|ya?ml|py|css|csv)$"
)


@cache
def headings(paper: str) -> set[str]:
    """As GitHub makes anchors of them."""
    found = re.findall(r"^#+ (.*)$", (ROOT / paper).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


def is_there(name: str) -> bool:
    """Whether it is a module or package, or stands in the module that the name begins with."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (module := ".".join(parts[:end])) in PACKAGES:
            rest = parts[end:]
            return not rest or (module in MODULES and re.search(rf"\b{rest[0]}\b", source(module)) is not None)
    return False


@cache
def endings() -> dict[str, list[str]]:
    """By the end of its name, as a document that tells of one part writes it: the modules and packages of that name."""
    found: dict[str, list[str]] = {}
    for name in PACKAGES:
        parts = name.split(".")
        for start in range(len(parts)):
            found.setdefault(".".join(parts[start:]), []).append(name)
    return found


def is_there_for_short(name: str) -> bool:
    """The same of a name without its first packages, such as `smtp.transport`; of what begins otherwise, True."""
    first, _, rest = name.partition(".")
    return first not in endings() or any(is_there(f"{full}.{rest}") for full in endings()[first])


def words_of(module: str) -> list[str]:
    """Its docstrings and comments, and now and then a text beside them."""
    return re.findall(r'"{3}(?:.|\n)*?"{3}|#[^\n]*', source(module))


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_names_what_is_there(paper: str) -> None:
    text = (ROOT / paper).read_text(encoding="utf-8")
    missing = []
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        path = os.path.normpath(Path(paper).parent / target) if target else paper
        if not (ROOT / path).exists() or (anchor and anchor not in headings(path)):
            missing.append(f"{target}#{anchor}")
    roots = [ROOT, ROOT / "docs", *(ROOT / app for app in APPS)]
    missing += [name for name in FILE.findall(text) if not any((root / name).exists() for root in roots)]
    code = "\n".join(re.findall(r"`([^`\n]+)`", text))
    missing += [name for name in DOTTED.findall(code) if not OTHERS.match(name) and not is_there(name)]
    missing += [name for name in SHORT.findall(code) if not OTHERS.match(name) and not is_there_for_short(name)]
    assert missing == []


def test_docstrings_and_comments_name_what_is_there() -> None:
    missing = {
        f"{module}: {name}"
        for module in MODULES
        for words in words_of(module)
        for name in DOTTED.findall(words)
        if not OTHERS.match(name) and not is_there(name)
    }
    assert missing == set()


@pytest.mark.parametrize("package", sorted(name for name in MODULES if MODULES[name].name == "__init__.py"))
def test_the_docstring_of_a_package_names_modules_that_it_has(package: str) -> None:
    """In its table, if it has one; of one that a sentence names with something in it, that this is there, too."""
    words = ast.get_docstring(tree(package)) or ""
    own = {name.rpartition(".")[2] for name in PACKAGES if name.rpartition(".")[0] == package}
    missing = [name for name in re.findall(r"^(\w+) {2,}\S", words, re.MULTILINE) if name not in own]
    named = [name for name in re.findall(r"`([a-z_]+\.\w+)", words) if name.partition(".")[0] in own]
    missing += [name for name in named if not is_there(f"{package}.{name}")]
    assert missing == []
