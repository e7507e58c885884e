"""An entry of the activity is saved in the transaction of the change that it tells of.

Around every test: a process may be killed between two commits, and would leave a change that nobody made, or an entry
of what never happened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.models.signals import pre_save

from mailbox.models import AuditEntry

TESTS = str(Path(__file__).parent)
ROOT = str(Path(__file__).parent.parent)
# What tells of no change of rows: a sign-in, a link that was shown, a mail that stands at its own entry too, ...
TELLS_ALONE = {"sign_in", "sign_in_failed", "sign_in_locked", "sign_in_refused", "copy_link", "forward", "test_mail"}
TELLS_ALONE |= {"compare_now", "stop_deletion", "asked_for_password", "export_downloaded"}
# Which token it was: who it was stands in the entry of the change.
TELLS_ALONE |= {"use_token"}
# The click on many rows: each row's own entry is saved with its change.
CLICKS = ("bulk_", "ticked_", "import_")
# allauth sends its signal when it has saved the change.
TELLS_ALONE |= {"second_factor_added", "second_factor_removed"}


@contextmanager
def guarding() -> Iterator[list[str]]:
    """Yields what was found: verbs of entries that were saved outside of a transaction."""
    found: list[str] = []

    def look(instance: AuditEntry, using: str, **_: Any) -> None:
        verb, blocks = instance.verb, connections[using].atomic_blocks  # type: ignore[attr-defined]
        is_alone = instance.pk is None and all(each._from_testcase for each in blocks)
        if is_alone and verb not in TELLS_ALONE and not verb.startswith(CLICKS) and _is_ours():
            found.append(verb)

    pre_save.connect(look, sender=AuditEntry, weak=False)
    try:
        yield found
    finally:
        pre_save.disconnect(look, sender=AuditEntry)


def _is_ours() -> bool:
    """Whether the site saves it, and not a test that makes rows."""
    frame = sys._getframe(2)
    while frame := frame.f_back:  # type: ignore[assignment]
        name = frame.f_code.co_filename
        if name.startswith(ROOT) and "/.venv/" not in name:
            return not name.startswith(TESTS)
    return False
