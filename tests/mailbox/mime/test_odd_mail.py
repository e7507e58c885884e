"""What senders break costs no content, and each repair is named: every kind with texts of many scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime import message as mime_message
from mailbox.mime import readable_text
from mailbox.views.reading import parse_warnings
from tests.mailbox.mime import odd_mail_files
from tests.mailbox.mime.odd_mail import OddMail

MAILS = odd_mail_files.odd_mails()


def test_there_are_hundreds_of_them_and_files_say_what_must_be_read(tmp_path: Path) -> None:
    assert odd_mail_files.write(tmp_path) == len(MAILS) >= 1200
    for path in sorted(tmp_path.glob("*.json"))[::7]:
        raw, expected = path.with_suffix(".eml").read_bytes(), json.loads(path.read_text("utf-8"))
        read = mime_message.parse(raw)
        assert (readable_text.readable(read).split(), read.subject) == (expected["text"], expected["subject"])
        assert {each.filename: each.digest for each in read.attachments} == expected["files"]


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.name)
def test_an_odd_mail_is_read_as_it_was_meant(mail: OddMail) -> None:
    parsed = mime_message.parse(mail.raw)
    assert readable_text.readable(parsed).split() == mail.text.split()
    assert parsed.subject == mail.subject
    assert parsed.sender_address == "ann@example.com"
    found = {each.filename: mime_message.attachment_bytes(mail.raw, each.position) for each in parsed.attachments}
    assert found == mail.files
    assert mail.defect in ("", *parsed.defects)


def test_each_repair_is_said_in_a_sentence_of_its_own() -> None:
    named = {mail.defect for mail in MAILS} - {""}
    assert len(parse_warnings.sentences(sorted(named))) == len(named)
    assert not [said for said in parse_warnings.sentences(named) if "Defect" in said]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(MAILS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=20)), max_size=5),
)
def test_an_odd_mail_that_is_cut_and_overwritten_raises_nothing(
    mail: OddMail, cuts: list[tuple[float, int, bytes]]
) -> None:
    raw = mail.raw
    for where, length, instead in cuts:
        at = int(where * len(raw))
        raw = raw[:at] + instead + raw[at + length :]
    parsed = mime_message.parse(raw)
    for attachment in parsed.attachments:
        assert len(mime_message.attachment_bytes(raw, attachment.position)) == attachment.size
