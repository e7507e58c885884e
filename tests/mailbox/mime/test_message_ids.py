"""Message-IDs in every form they come in, and Outlook's Thread-Index."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.messages.conversations import key_of
from mailbox.mime import message_ids

ROOT = bytes(range(22))


@pytest.mark.parametrize(
    "stated",
    [
        "<mid1@example.com>",
        "mid1@example.com",
        "<<mid1@example.com>>",
        "<mid1@example.com> (added by postmaster@relay.example)",
        "(a comment) <mid1@example.com>",
        "<mid1@\r\n example.com>",
        "< mid1@example.com >",
        "=?utf-8?Q?=3Cmid1=40example.com=3E?=",
        "=?utf-8?B?PG1pZDFAZXhhbXBsZS5jb20+?=",
        '"mid1@example.com"',
        "<mid1@example.com",
        "mid1@example.com>",
        "mid:mid1@example.com",
        "<mid1@example.com>;",
        "(answers <other@example.com>) <mid1@example.com>",
        "(see other@example.com) mid1@example.com",
        "(<mid1@example.com>)",
        "&#60;mid1@example.com&#62;",
        "&lt;mid1@example.com&gt;",
        "%3Cmid1@example.com%3E",
    ],
)
def test_an_id_is_the_same_in_every_form(stated: str) -> None:
    assert key_of(stated) == key_of("<mid1@example.com>")
    assert message_ids.read(stated) == ["mid1@example.com"]


@pytest.mark.parametrize(
    ("stated", "ids"),
    [
        ("<a@x> <b@x>", ["a@x", "b@x"]),
        ("<a@x><b@x>", ["a@x", "b@x"]),
        ("<a@x>, <b@x>", ["a@x", "b@x"]),
        ("a@x b@x", ["a@x", "b@x"]),
        ("a@x,b@x", ["a@x", "b@x"]),
        ("Your message of Tuesday <a@x>", ["a@x"]),
        ("Message from ann@example.com <a@x>", ["a@x"]),
        ("<20250101123456>", ["20250101123456"]),
        ("<a (a comment)@x>", ["a@x"]),
        ("a letter without one", []),
        ("@ @x x@", []),
        ("<a@x <b@x>", ["a@x", "b@x"]),
        ("<a@x b@x>", ["a@x", "b@x"]),
        ("<a@x, b@x>", ["a@x", "b@x"]),
        ("a@x;b@x", ["a@x", "b@x"]),
        ("(of <c@x>) <a@x> (and <d@x>) <b@x>", ["a@x", "b@x"]),
        ("Your message (<a@x>)", ["a@x"]),
        ("<a%b&c@x>", ["a%b&c@x"]),
    ],
)
def test_ids_stand_in_their_order_and_words_are_none(stated: str, ids: list[str]) -> None:
    assert message_ids.read(stated) == ids


def test_a_digest_that_stands_for_a_missing_id_keeps_its_key() -> None:
    assert message_ids.bare("ab" * 32) == "ab" * 32


@pytest.mark.parametrize("answers", [0, 1, 5])
def test_all_answers_of_a_thread_share_its_root(answers: int) -> None:
    stated = base64.b64encode(ROOT + b"12345" * answers).decode()
    for written in (stated, f" {stated.rstrip('=')} ", f'"{stated}"', f"{stated[:20]}\r\n {stated[20:]}"):
        assert message_ids.thread_root(written) == ROOT.hex()


@pytest.mark.parametrize("stated", ["", "AQ==", "no base64!", "=", "A" * 29, "\u00e9" * 40])
def test_what_is_no_thread_index_says_nothing(stated: str) -> None:
    assert message_ids.thread_root(stated) == ""


@pytest.mark.parametrize(
    "subject",
    [
        *("[Fwd: Offer]", "Re: [Fwd: Re: Offer]", "Offer (fwd)", "Re: Offer (Fwd)"),
        *("Offer", "Re: Offer", "RE: AW:  Fwd: Offer ", "Re[2]: offer", "Re\uff1aOffer", "Re(2): Offer", "Re^2: Offer"),
        *(
            "[EXT] Re: Offer",
            "Re: [list] Offer",
            "答复: Offer",
            "回覆\uff1aOffer",
            "Antwort: Offer",
            "YNT: Offer",
            "Σχετ: Offer",
        ),
    ],
)
def test_answers_have_their_mails_topic(subject: str) -> None:
    assert message_ids.topic(subject) == "offer"


@given(st.text(alphabet='<>()@ ,;=?ab.\r\n"\u00e9\0', max_size=200))
def test_no_text_raises_and_what_is_found_is_found_again(text: str) -> None:
    found = message_ids.read(text)
    assert all(message_ids.read(f"<{each}>") for each in found if "=?" not in each and "(" not in each)
    message_ids.thread_root(text)
    message_ids.topic(text)
