"""Splits text into the words of the search index, in the same way for mails and for queries. Pure.

Both databases get the words from here, so that both find the same mails. Case and accents are folded. Scripts without
spaces between words are split into overlapping pairs of characters (bigrams), as neither database's own tokenizer finds
a two-character Chinese word inside a sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from mailbox.mime.normal_form import nfc

# Raise it when a change here, in index_terms or in mime.readable_text.searched gives other words for the same message.
# `manage.py reindex` then indexes all messages again.
VERSION = 2
MAX_WORD = 64  # characters; longer words (base64, tracking links) are cut, in queries, too
_PIECE, _LONGEST_RUN = 50_000, 2_000  # characters; without a separator among so many, the text is cut anywhere

# Letters that Unicode does not decompose, although people type the plain letter to find them.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe", "\u0640": ""})
# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, Hangul, kana, bopomofo, Han. Hangul has spaces, but
# particles are attached to words: "보고서" must find "보고서를".
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c"
    "\u3040-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


def _is_accent(letter: str) -> bool:
    """Whether people leave this mark out in typing: Latin, Greek and Cyrillic accents, Hebrew points, Arabic harakat.

    Decided by canonical combining class (Unicode 4.3). Classes below 10 and from 84 to 132 contain marks that make
    another letter: Japanese voicing marks, nukta, virama, vowels of Thai, Lao and Tibetan.
    """
    group = unicodedata.combining(letter)
    return 10 <= group <= 36 or group >= 200


class _Folding(dict[int, str]):
    """Table for str.translate: character -> its folded form, " " for separators. Filled on demand."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        if letter != "\u200b" and unicodedata.category(letter) == "Cf":
            folded = ""  # soft hyphens and direction marks occur inside words
        else:
            apart = unicodedata.normalize("NFKD", letter.casefold())
            kept = "".join(each for each in apart if not _is_accent(each))
            folded = unicodedata.normalize("NFKC", kept).translate(_PLAIN)
            folded = "".join(each if unicodedata.category(each)[0] in "LNM" else " " for each in folded)
        self[code] = folded
        return folded


_FOLDING = _Folding()


def _words_of(chunk: str) -> Iterator[str]:
    """The words of folded text without spaces.

    The last character of a run of an unspaced script is also a word of its own. So each character begins some word, and
    a search for a single character, as a prefix, finds it anywhere.
    """
    for run in _RUNS.findall(chunk):
        if _IS_UNSPACED.match(run):
            for position in range(len(run)):
                yield run[position : position + 2]
        else:
            yield run[:MAX_WORD]


def words(text: str, limit: int = 1_000_000) -> list[str]:
    """The first `limit` words of a text, in order. They contain only letters, digits and marks: no quotes or spaces."""
    found: list[str] = []
    for piece in _pieces(text if text.isascii() else nfc(text)):
        found += _words_of_piece(piece)
        if len(found) >= limit:
            return found[:limit]
    return found


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of about _PIECE characters, each but the last ending with a separator of words.

    A character may fold to 18 others, so the folded form of a long text would fill the memory, and mostly the first
    piece has all words that are wanted.
    """
    start = 0
    while len(text) - start > _PIECE:
        most = start + _PIECE
        end = next((at for at in range(most, most - _LONGEST_RUN, -1) if _FOLDING[ord(text[at - 1])] == " "), most)
        yield text[start:end]
        start = end
    yield text[start:]


def _words_of_piece(text: str) -> list[str]:
    folded = text.translate(_FOLDING)
    if folded.isascii():  # most mail; a fast path by str.split() alone
        found = folded.split()
        if found and max(map(len, found)) > MAX_WORD:
            found = [chunk[:MAX_WORD] for chunk in found]
        return found
    found = []
    for chunk in folded.split():
        if chunk.isascii():
            found.append(chunk[:MAX_WORD])
        else:
            found.extend(_words_of(chunk))
    return found


@dataclass(frozen=True)
class Phrase:
    """Consecutive words. is_prefix: the last one may be the beginning of a longer word."""

    words: tuple[str, ...]
    is_prefix: bool = False


def phrase(text: str, *, is_prefix: bool = False) -> Phrase:
    """The phrase by which `text` is found; without words if the text has none (only punctuation)."""
    found = words(text)
    if not found or not _IS_UNSPACED.match(found[-1]):
        return Phrase(tuple(found), is_prefix and bool(found))
    # The run's last character alone serves the search for single characters; longer runs are found by their pairs.
    if len(found) > 1 and len(found[-2]) == 2 and _IS_UNSPACED.match(found[-2]) and found[-2][1] == found[-1]:
        return Phrase(tuple(found[:-1]))
    return Phrase(tuple(found), True)


@dataclass(frozen=True)
class WordSpan:
    """A word, and the range of the text from which it was made."""

    word: str
    start: int  # in characters
    end: int


def word_spans(text: str) -> list[WordSpan]:
    """The words of an NFC text with their positions. Slower than words(); for the few lines that are displayed."""
    letters: list[tuple[str, int]] = []
    for place, letter in enumerate(text):
        letters.extend((folded, place) for folded in _FOLDING[ord(letter)])
    found: list[WordSpan] = []
    chunk: list[tuple[str, int]] = []
    for folded, place in [*letters, (" ", len(text))]:
        if folded != " ":
            chunk.append((folded, place))
        elif chunk:
            found.extend(_spans_of(chunk))
            chunk = []
    return found


def _spans_of(chunk: list[tuple[str, int]]) -> Iterator[WordSpan]:
    folded = "".join(letter for letter, _ in chunk)
    for run in _RUNS.finditer(folded):
        if _IS_UNSPACED.match(run[0]):
            for at in range(run.start(), run.end()):
                last = min(at + 1, run.end() - 1)
                yield WordSpan(folded[at : last + 1], chunk[at][1], chunk[last][1] + 1)
        else:
            yield WordSpan(run[0][:MAX_WORD], chunk[run.start()][1], chunk[run.end() - 1][1] + 1)
