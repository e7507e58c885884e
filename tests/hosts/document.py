"""The commands and settings of docs/operations.md, as they stand there."""

from __future__ import annotations

import re

from tests.servers.site import ROOT

OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    _, found, text = OPERATIONS.partition(f"\n## {title}\n")
    assert found, title
    return text.partition("\n## ")[0]


def blocks(title: str) -> list[str]:
    """The sh blocks of a section."""
    return re.findall(r"^```sh\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)


def block(title: str, begins: str) -> str:
    """The one block of the section that begins so."""
    (found,) = [each for each in blocks(title) if each.startswith(begins)]
    return found


def without(text: str, *lines: str) -> str:
    """The block without the lines that begin so, each of which must be there."""
    kept = text.splitlines()
    for begin in lines:
        left = [line for line in kept if not line.startswith(begin)]
        assert len(left) == len(kept) - 1, f"{begin} in {text}"
        kept = left
    return "\n".join(kept)
