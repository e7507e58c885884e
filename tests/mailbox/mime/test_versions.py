"""Whoever changes what a message is read as, or by which words it is found, raises a version: else what is stored stays
as the older code read it. The digests are of the messages in tests/mail, read by the versions beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mailbox.mime import message as mime_message
from mailbox.parsing import parse_job
from mailbox.parsing.parse_job import ParseJob
from mailbox.search import tokenizer

MAILS = sorted((Path(__file__).parents[2] / "mail").glob("*.eml"))
READ_AS = (17, "e5066c937199f942")
FOUND_BY = {"sqlite": (2, "baff8540b0fd80c4"), "postgresql": (2, "2fd16f701791c489")}


def digest_of(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def test_what_is_read_belongs_to_this_version_of_the_parser() -> None:
    read = digest_of([repr(mime_message.parse(path.read_bytes())) for path in MAILS])
    assert (mime_message.PARSER_VERSION, read) == READ_AS, (
        "The messages are read otherwise: raise PARSER_VERSION (where stored rows would differ), and write the digest."
    )


@pytest.mark.parametrize("vendor", FOUND_BY)
def test_the_words_belong_to_this_version_of_the_index(vendor: str) -> None:
    orders = [ParseJob(path.read_bytes(), 1000, 1, vendor) for path in MAILS]
    words = digest_of([parse_job.read(order).index_text for order in orders])
    assert (tokenizer.VERSION, words) == FOUND_BY[vendor], (
        "The messages are found by other words: raise tokenizer.VERSION, and write the digest."
    )
