"""python -m benchmarks.agreement: how far our reader, GMime and Python's own say the same of a message, field by field.

Over the recipes of damaged mail that the tests are made of, and over the benchmark's own mails. A field counts where
either reader finds anything in it (`html`: where GMime does, as we also make HTML of texts in their order). Each recipe
says what is right, so that it is also counted who reads it rightly. Writes the table in docs/benchmarks.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import mails, standard_library
from mailbox.mime import addresses
from mailbox.mime import message as mime_message
from mailbox.mime.html_text import html_words
from tests.mailbox.mime.odd_mail import OddMail
from tests.mailbox.mime.odd_mail_files import odd_mails

ROOT = Path(__file__).resolve().parents[1]
READER = ROOT / "benchmarks" / "gmime_reader.py"
SYSTEM_PYTHON = "/usr/bin/python3"
LENGTH = struct.Struct("<Q")
OWN_MAILS = 500
ROUNDS = 10  # of parsing them for its cost
FIELDS = ("message_id", "subject", "from", "to", "cc", "date", "text", "html", "files")
TABLE = re.compile(r"<!-- agreement -->.*?<!-- /agreement -->", re.S)


def theirs(raws: Iterable[bytes]) -> list[dict[str, Any]]:
    """What GMime reads in the mails, by a process of the system's Python. Raises CalledProcessError."""
    sent = b"".join(LENGTH.pack(len(raw)) + raw for raw in raws)
    done = subprocess.run([SYSTEM_PYTHON, str(READER)], input=sent, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def ours(raw: bytes) -> dict[str, Any]:
    """What this project's reader finds in a mail, in the form of gmime_reader.read()."""
    read = mime_message.parse(raw)
    listed = {name: [each.address for each in addresses.read(text, is_decoded=True)] for name, text in _lists(read)}
    return listed | {
        "message_id": read.message_id.strip("<>"),
        "subject": read.subject,
        "date": int(read.date.timestamp()) if read.date else None,
        "text": " ".join(read.body_text.split()),
        "html": " ".join(read.body_html.split()),
        "files": [[each.filename, each.digest] for each in read.attachments],
    }


def _lists(read: mime_message.ParsedMessage) -> list[tuple[str, str]]:
    return [("from", read.sender), ("to", read.recipients), ("cc", read.cc)]


def is_same(field: str, own: Any, other: Any) -> bool:
    if field == "files":  # names are invented where there is none
        return bool(sorted(digest for _, digest in own) == sorted(digest for _, digest in other))
    if field in ("from", "to", "cc"):
        return bool([each.lower() for each in own] == [each.lower() for each in other])
    return bool(own == other)


def compare(raws: list[bytes], others: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Field -> in how many messages both say the same, of how many in which either says something."""
    same: Counter[str] = Counter()
    stated: Counter[str] = Counter()
    for own, other in zip(map(ours, raws), others, strict=True):
        for field in FIELDS:
            if field in ("message_id", "html") and not other.get(field):
                continue  # without a Message-ID ours is the digest of the message
            if own[field] or other.get(field):
                stated[field] += 1
                same[field] += is_same(field, own[field], other.get(field) or type(own[field])())
    return {field: (same[field], stated[field]) for field in FIELDS if stated[field]}


def is_right(read: dict[str, Any], odd: OddMail) -> bool:
    """Whether subject, words of the text in their order, and files are those that the recipe states."""
    if not read or read["subject"] != odd.subject:
        return False
    shown = iter(f"{read['text']} {html_words(read['html'], len(read['html']))}".split())
    words = all(word in shown for word in odd.text.split())
    files = {hashlib.sha256(octets).hexdigest() for octets in odd.files.values()}
    return words and files <= {digest for _, digest in read["files"]}


def right(odd: list[OddMail], read: dict[str, list[dict[str, Any]]]) -> str:
    shares = {name: _share((sum(map(is_right, reads, odd)), len(odd))) for name, reads in read.items()}
    own = _share((sum(is_right(ours(each.raw), each) for each in odd), len(odd)))
    others = ", ".join(f"{name} {share}" for name, share in shares.items())
    return f"As the recipe states (subject, text, files): ours **{own}**, {others}."


def cost(raws: list[bytes]) -> str:
    """Milliseconds of CPU a message, each by the best of some rounds: what else the machine does only adds to it."""
    best = [math.inf] * len(raws)
    for _ in range(ROUNDS):
        for number, raw in enumerate(raws):
            started = time.process_time()
            mime_message.parse(raw)
            best[number] = min(best[number], time.process_time() - started)
    mean = sum(best) / len(best) * 1000
    return f"One parse of a message of `mails.py`: **{mean:.2f} ms** of CPU on average (limit 0.5)."


def _share(counts: tuple[int, int]) -> str:
    return f"{100 * counts[0] / counts[1]:.1f} % of {counts[1]}"


def table(columns: dict[str, dict[str, tuple[int, int]]]) -> str:
    """The table in Markdown. columns: title -> field -> (messages in which both agree, messages that count)."""
    lines = ["| field | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for field in FIELDS:
        cells = [_share(found[field]) if field in found else "" for found in columns.values()]
        if any(cells):
            lines.append(f"| {field.replace('_', '-')} | " + " | ".join(cells) + " |")
    totals = [tuple(map(sum, zip(*found.values(), strict=True))) for found in columns.values()]
    lines.append("| all | " + " | ".join(f"**{_share((total[0], total[1]))}**" for total in totals) + " |")
    return "\n".join(lines)


def main() -> int:
    if subprocess.run([SYSTEM_PYTHON, "-c", "import gi"], capture_output=True).returncode:
        print("GMime is missing: sh scripts/install-servers gmime", file=sys.stderr)
        return 1
    odd = odd_mails()
    own = [mails.mail(number) for number in range(OWN_MAILS)]
    columns = {}
    of_odd: dict[str, list[dict[str, Any]]] = {}
    for count, raws in (
        (f"{len(odd)} damaged or unusual", [each.raw for each in odd]),
        (f"{len(own)} of `mails.py`", own),
    ):
        for name, reads in (("GMime", theirs(raws)), ("`email`", list(map(standard_library.read, raws)))):
            columns[f"{name}: {count}"] = compare(raws, reads)
            of_odd.setdefault(name, reads)
    written = f"{table(columns)}\n\n{right(odd, of_odd)}\n\n{cost(own)}"
    docs = ROOT / "docs" / "benchmarks.md"
    marked = f"<!-- agreement -->\n{written}\n<!-- /agreement -->"
    docs.write_text(TABLE.sub(lambda _: marked, docs.read_text(encoding="utf-8")), encoding="utf-8")
    print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
