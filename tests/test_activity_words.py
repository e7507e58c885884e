"""Every verb that the code writes into the activity has its words: an unknown one would be shown in English to all."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mailbox.views.activity.activity_words import SAID
from tests.read_sources import MODULES, source, tree

WRITERS = {"one_click", "record", "_record", "_note", "note", "create", "AuditEntry"}
# What stands in such a call and is no verb: a target without a number, a place, a name.
NO_VERBS = {"sending", "attachment_policy", "trusted_senders", "email"}


def verbs_of(module: str) -> Iterator[str]:
    """Strings that are handed to a writer of the activity as its verb, or stand in a dictionary as such."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            given = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "verb"]
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [each.value for each in node.keywords if each.arg == "verb"]
            given += node.args[:2] if name in WRITERS else []
        else:
            continue
        for each in given:
            for part in ast.walk(each):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and _is_verb(part.value):
                    yield part.value


def _is_verb(text: str) -> bool:
    return text.isidentifier() and not text.endswith("_")  # "bulk_" begins one


def test_every_verb_of_the_activity_has_words() -> None:
    writing = [name for name in MODULES if "AuditEntry" in source(name) or "audit import record" in source(name)]
    writing += [name for name in MODULES if "requests.note(" in source(name)]
    verbs = {verb for name in writing for verb in verbs_of(name)} - NO_VERBS
    assert len(verbs) > 60
    assert verbs - set(SAID) == set()
