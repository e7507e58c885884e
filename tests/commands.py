"""Calling manage.py's commands as a program does: with --json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """run("accounts", "list") -> (exit status, the JSON object printed)."""

    def call(*arguments: str) -> tuple[int, Any]:
        status = 0
        capsys.readouterr()
        try:
            call_command(*arguments, "--json")
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        return status, json.loads(capsys.readouterr().out)

    return call
