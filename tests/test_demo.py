"""The demo's mail is what the README says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from demo.sample_bob import messages_of_bob
from demo.samples import SampleMessage, messages_of_ann
from mailbox.mime.message import parse
from mailbox.models import Account
from tests.mailbox.search.searched import account, ann, store, subjects
from tests.servers.site import ROOT

__all__ = ["account", "ann"]
NOW = datetime(2026, 7, 1, 9, tzinfo=UTC)


def message_ids(messages: list[SampleMessage], folder: str = "") -> set[str]:
    read = [message_from_bytes(each.raw) for each in messages if folder in ("", each.folder)]
    return {each["Message-ID"] for each in read if each["Message-ID"]}


def test_the_two_mailboxes_hold_different_mail_but_for_what_one_wrote_to_the_other() -> None:
    ann, bob = messages_of_ann(NOW), messages_of_bob(NOW)
    assert message_ids(ann) & message_ids(bob) <= message_ids(bob, "Sent")
    assert len(message_ids(bob)) >= 12


@pytest.mark.django_db
def test_the_readmes_example_search_finds_something_in_the_demo(
    account: Account, ann: User, make_account: Callable[..., Account]
) -> None:
    readme = Path(ROOT, "README.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"`(from:ann .*?)`", readme)
    for each in messages_of_bob(NOW):
        read = parse(each.raw)
        store(account, read.subject, read.body_text, sender=read.sender, has_attachments=bool(read.attachments))
    assert subjects(ann, query) == ["June invoice"]
