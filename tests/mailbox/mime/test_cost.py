"""A message built to cost time or memory costs little of either, and says in its defects that something was left out.

Measured in a program of its own, whose peak of memory is the kernel's word, beyond the bytes of the message.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mailbox.mime.hostile_structure import MADE

ROOT = Path(__file__).parents[3]
# What is left out, and so must be said; the others are read whole.
SAID = {
    "short_fields": "TooManyHeaders",
    "one_field": "HeaderTooLong",
    "folded_field": "HeaderTooLong",
    "encoded_words": "HeaderTooLong",
    "flat_parts": "TooManyParts",
    "bare_parts": "TooManyParts",
    "part_headers": "TooManyHeaders",
    "false_boundaries": "TooManyParts",
    "nested_parts": "TooManyParts",
    "recipients": "HeaderTooLong",
    "base64_with_junk": "TransferEncodingDefect",
    "empty_lines": "BodyCut",
}


def costs(size: int, *names: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.mailbox.mime.hostile_structure", str(size), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    measured: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return measured


def test_two_megabytes_of_anything_are_read_at_once() -> None:
    measured = costs(2_000_000)
    assert set(measured) == set(MADE)
    assert {name: each["seconds"] for name, each in measured.items() if each["seconds"] > 2} == {}
    assert {name: each["megabytes"] for name, each in measured.items() if each["megabytes"] > 60} == {}


@pytest.mark.long
@pytest.mark.parametrize("name", MADE)
def test_fifty_megabytes_are_read_within_seconds_and_little_memory(name: str) -> None:
    each = costs(50_000_000, name)[name]
    assert each["seconds"] < 5
    assert each["megabytes"] < 110  # of a whole body, decoded: 2 million characters of four bytes, a few times
    assert SAID.get(name, "") in ["", *each["defects"]]


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("nested_parts", 1_000_000, "NestingTooDeep"),
        ("flat_parts", 4_000_000, "TooManyParts"),
        ("recipients", 6_000_000, "HeaderTooLong"),
        ("one_field", 1_000_000, "HeaderTooLong"),
    ],
)
@pytest.mark.in_part(2)
def test_what_is_left_out_is_said(name: str, size: int, said: str) -> None:
    each = costs(size, name)[name]
    assert said in ["", *each["defects"]]
    assert each["seconds"] < 2
