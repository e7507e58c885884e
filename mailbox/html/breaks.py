"""Places to break a line, in markup whose words have none. Pure.

A browser lays out a word that is longer than a line piece by piece, and shapes the rest of it anew for each piece where
letters join or marks stack (Arabic, combining marks): 200,000 letters without a space took Chromium 13 seconds, and as
many again four times that.
"""

from __future__ import annotations

import re

LONGEST_WORD = 500  # characters
# Possessive quantifiers: each character is looked at once.
_TAG = r'<(?:[^<>"]++|"[^"]*+"|(?!))*+>'
_WORD = re.compile(rf"(?:[^\s<]++|{_TAG}|(?!))++")
_PIECE = re.compile(rf"{_TAG}|&[a-zA-Z0-9#]{{1,31}};|&|[^&<]++")


def with_breaks(markup: str) -> str:
    """The markup with a <wbr> after each LONGEST_WORD characters without white space, across tags too.

    markup: well-formed, with attributes in double quotes, as nh3 writes it; or escaped text.
    """
    return _WORD.sub(_broken, markup)


def _broken(word: re.Match[str]) -> str:
    if word.end() - word.start() <= LONGEST_WORD:
        return word[0]
    written: list[str] = []
    room = LONGEST_WORD
    for piece in _PIECE.findall(word[0]):
        if piece[0] == "<":
            written.append(piece)
            continue
        step = 1 if piece[0] != "&" else len(piece)  # a character reference is not cut
        while len(piece) > room * step:
            written += [piece[: room * step], "<wbr>"]
            piece, room = piece[room * step :], LONGEST_WORD
        written.append(piece)
        room -= len(piece) // step
    return "".join(written)
