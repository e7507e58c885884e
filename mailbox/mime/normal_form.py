"""Unicode's normal form C (UAX 15), in time that grows with the length of the text. Pure.

unicodedata.normalize sorts the marks behind a letter one by one: 80,000 of them take 5 seconds, and a mail may have
millions. The Stream-Safe Text Format (UAX 15, 13) has at most 30 behind a letter, so text is cut into pieces here; the
cut falls within the marks of a letter only where these fill half a piece.
"""

from __future__ import annotations

import unicodedata

PIECE = 1000  # characters
MOST_MARKS = 30  # behind one letter, in the Stream-Safe Text Format; no language has more


def nfc(text: str) -> str:
    """The text in normal form C. A letter with more than PIECE / 2 marks behind it keeps them in some other order."""
    if len(text) <= PIECE:
        return unicodedata.normalize("NFC", text)
    pieces: list[str] = []
    start = 0
    while start < len(text):
        end = _end_of_piece(text, start)
        pieces.append(unicodedata.normalize("NFC", text[start:end]))
        start = end
    return "".join(pieces)


def without_stacks(text: str) -> str:
    """The text with MOST_MARKS marks behind a letter at most, for a field to edit: no line can be broken within a stack
    of marks, and Chromium takes more than a minute to lay out 200,000 of them in a textarea."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for letter in text:
        marks = marks + 1 if not letter.isascii() and unicodedata.category(letter)[0] == "M" else 0
        if marks <= MOST_MARKS:
            kept.append(letter)
    return "".join(kept)


def _end_of_piece(text: str, start: int) -> int:
    most = start + PIECE
    if most >= len(text):
        return len(text)
    return next((at for at in range(most, most - PIECE // 2, -1) if _begins_anew(text[at])), most)


def _begins_anew(letter: str) -> bool:
    """Whether it never joins with what stands before it, as marks and the vowels and finals of Hangul do."""
    return letter.isascii() or not (unicodedata.category(letter)[0] == "M" or "\u1160" <= letter <= "\u11ff")
