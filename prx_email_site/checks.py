"""What `manage.py check` says of the environment."""

from __future__ import annotations

import difflib
from typing import Any

from django.core.checks import CheckMessage, Warning

from prx_email_site import environment


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
