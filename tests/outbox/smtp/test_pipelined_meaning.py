"""What the three answers to a mail in one write mean together."""

from __future__ import annotations

import pytest

from outbox.smtp.pipelined import Meaning, meaning


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((250, 250, 250), Meaning.TAKEN),
        ((250, 251, 200), Meaning.TAKEN),
        ((250, 252, 250), Meaning.TAKEN),
        ((250, 250, 451), Meaning.MAIL_REFUSED),
        ((250, 250, 554), Meaning.MAIL_REFUSED),
        ((250, 250, 421), Meaning.MAIL_REFUSED),
        ((250, 250, 503), Meaning.NOT_KNOWN),
        ((250, 250, 354), Meaning.UNKNOWN),
        ((451, 503, 503), Meaning.SENDER_REFUSED),
        ((550, 550, 554), Meaning.SENDER_REFUSED),
        ((421,), Meaning.SENDER_REFUSED),
        ((552, 503), Meaning.SENDER_REFUSED),
        ((250, 550, 503), Meaning.RECIPIENT_REFUSED),
        ((250, 450, 554), Meaning.RECIPIENT_REFUSED),
        ((250, 421), Meaning.RECIPIENT_REFUSED),
        # A refusal beside a chunk that was taken: somebody's answers are out of step.
        ((451, 250, 250), Meaning.UNKNOWN),
        ((250, 550, 250), Meaning.UNKNOWN),
        ((354, 250, 250), Meaning.UNKNOWN),
        ((250, 354, 250), Meaning.UNKNOWN),
        ((354, 550, 554), Meaning.UNKNOWN),
        ((), Meaning.UNKNOWN),
        ((250,), Meaning.UNKNOWN),
        ((250, 250), Meaning.UNKNOWN),
        ((354, 450), Meaning.UNKNOWN),
    ],
)
def test_three_answers_mean_one_thing(codes: tuple[int, ...], expected: Meaning) -> None:
    assert meaning(codes) is expected
