"""What `manage.py check` says of the environment and of the data folder."""

from __future__ import annotations

import difflib
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning

from prx_email_site import environment, private_files


def unknown_variables(**_: Any) -> list[CheckMessage]:
    """A misspelt variable is silently the default otherwise, which is noticed when it is needed."""
    known = environment.known()
    return [
        Warning(
            f"The variable {name} is set, and nothing reads it.",
            hint=_hint(name, known),
            id="prx_email_site.W001",
        )
        for name in environment.unknown()
    ]


def _hint(name: str, known: list[str]) -> str:
    alike = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"Did you mean {alike[0]}?" if alike else "docs/operations.md lists the variables; remove this one."


def data_folder_is_private(**_: Any) -> list[CheckMessage]:
    """The folder itself, what lies directly in it (the database), and the keys. `prepare` walks all of it."""
    folders = (settings.DATA_DIR, settings.DATA_DIR / "keys")
    found = sorted({path for folder in folders for path in private_files.open_to_others(folder, depth=1)})
    if not found:
        return []
    more = f", as {len(found) - 1} more" if len(found) > 1 else ""
    return [
        Warning(
            f"Others on this machine may read {found[0]}{more}: all mail, and every session.",
            hint="Run manage.py prepare as the user that the site runs as, or chmod -R go= the data folder.",
            id="prx_email_site.W002",
        )
    ]
