"""Secrets for commands come from environment variables: arguments are visible in process lists and shell histories."""

from __future__ import annotations

import os
import re


class NoSecret(Exception):
    """The variable is missing or empty; str() is a sentence.

    It does not repeat what does not look like a variable's name: that may be the secret itself, and end up in a log.
    """


def secret_in(variable: str) -> str:
    """The value of this environment variable; raises NoSecret."""
    if value := os.environ.get(variable, "").strip("\r\n"):
        return value
    named = f" {variable}" if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else ", whose name was given,"
    raise NoSecret(f"The environment variable{named} is not set or empty; put the secret in it.")
