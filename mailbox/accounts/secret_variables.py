"""Secrets for commands stand in environment variables: arguments show in the list of processes and in histories."""

from __future__ import annotations

import os
import re


class NoSecret(Exception):
    """The variable holds none; str() is a sentence. Whoever typed the secret in place of a name does not read it again
    in a deployment's log."""


def secret_in(variable: str) -> str:
    """What the environment variable of this name holds; raises NoSecret."""
    if value := os.environ.get(variable, "").strip("\r\n"):
        return value
    named = f" {variable}" if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else ", whose name was given,"
    raise NoSecret(f"The environment variable{named} is not set or empty; put the secret in it.")
