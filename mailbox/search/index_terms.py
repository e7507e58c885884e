"""Makes the words by which a mail is indexed, in the form of each database. Pure, and without Django, as parser
processes run it.

A word in a field (subject, from, to, filename) is indexed a second time with the field's mark in front. Facts that
rarely change (account, size, has an attachment) are words, too. So the index alone answers most of a search. The marks
are private-use characters, which no word of a mail contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from mailbox.mime import readable_text
from mailbox.mime.addresses.syntax import other_spelling
from mailbox.search.tokenizer import MAX_WORD, words

FIELD_MARKS = {"subject": "\ue001", "from": "\ue002", "to": "\ue003", "filename": "\ue004"}
_FACT = "\ue000"
EVERY_MESSAGE = f"{_FACT}all"
HAS_ATTACHMENT = f"{_FACT}attachment"
_BARRIER = "\ue005"  # a word between fields, so that no phrase matches across them

# PostgreSQL limits positions in a tsvector to 16,383 and its size to 1 MB. SQLite gets the same words.
MAX_POSITIONS = 16_000
MAX_BYTES = 400_000
_FIELD_LIMITS = {"subject": 300, "from": 100, "to": 2_000, "filename": 300}
MAX_RESPELLED = 100  # addresses of a field that are also indexed with their domain's other spelling
_ADDRESS = re.compile(r"([^\s<>\"',;@]{1,64})@([^\s<>\"',;@]{1,253})")
_LARGEST_OCTAVE = 50  # a petabyte; larger stated sizes count as this


def account_term(account_id: int) -> str:
    """The term that all mails of this account have, so that the index finds one account's mail by itself."""
    return f"{_FACT}a{account_id}"


def _octave_term(octave: int) -> str:
    return f"{_FACT}s{octave}"


def _quarter_term(size: int) -> str:
    """The term of a quarter of a power of two: fine enough that few mails with the term are beyond a given bound."""
    size = min(size, 2**_LARGEST_OCTAVE - 1)
    octave = size.bit_length()
    quarter = size >> (octave - 3) & 3 if octave >= 3 else 0
    return f"{_FACT}s{octave}q{quarter}"


def terms_of_size(size: int) -> list[str]:
    """The terms for a message of this size in bytes."""
    return [_octave_term(min(size.bit_length(), _LARGEST_OCTAVE)), _quarter_term(size)]


def size_terms_above(larger: int) -> list[str]:
    """Terms such that each message above this size (bytes) has one of them. A few smaller ones have one, too."""
    octave = min((larger + 1).bit_length(), _LARGEST_OCTAVE)
    first = int(_quarter_term(larger + 1)[-1])
    quarters = [f"{_FACT}s{octave}q{quarter}" for quarter in range(first, 4)]
    return quarters + [_octave_term(each) for each in range(octave + 1, _LARGEST_OCTAVE + 1)]


def size_terms_up_to(size: int) -> list[str]:
    """Terms such that each message of at most this size (bytes) has one of them. A few larger ones have one, too."""
    octave = min(size.bit_length(), _LARGEST_OCTAVE)
    last = int(_quarter_term(size)[-1])
    quarters = [f"{_FACT}s{octave}q{quarter}" for quarter in range(last + 1)]
    return [_octave_term(each) for each in range(octave)] + quarters


class Indexable(Protocol):
    """The indexed columns of a stored message, or of a ParsedMessage."""

    @property
    def subject(self) -> str: ...
    @property
    def sender(self) -> str: ...
    @property
    def sender_address(self) -> str: ...
    @property
    def recipients(self) -> str: ...
    @property
    def cc(self) -> str: ...
    @property
    def bcc(self) -> str: ...
    @property
    def body_text(self) -> str: ...
    @property
    def body_html(self) -> str: ...
    @property
    def attached_text(self) -> str: ...


@dataclass(frozen=True)
class IndexedWords:
    """What a mail is indexed by. `facts`: terms without a position, such as account_term."""

    facts: tuple[str, ...]
    placed: tuple[str, ...]  # words in their order, with _BARRIER between fields


def words_of(
    mail: Indexable, *, account_id: int, size: int, has_attachments: bool, filenames: Sequence[str]
) -> IndexedWords:
    """All words by which a mail is indexed. size: RFC822.SIZE in bytes."""
    facts = [EVERY_MESSAGE, account_term(account_id)]
    facts += terms_of_size(max(size, 0))
    if has_attachments:
        facts.append(HAS_ATTACHMENT)
    placed: list[str] = []
    for field, text in _field_texts(mail, filenames).items():
        found = words(text, _FIELD_LIMITS[field])
        mark = FIELD_MARKS[field]
        placed += [*found, _BARRIER, *(mark + word for word in found), _BARRIER]
    placed += words(readable_text.searched(mail)[: MAX_POSITIONS * 40], MAX_POSITIONS - len(placed))
    # UTF-8 has at most 4 bytes per character.
    if len(placed) * (MAX_WORD + 1) * 4 > MAX_BYTES and sum(map(len, placed)) * 4 > MAX_BYTES:
        placed = list(_within_bytes(placed))
    return IndexedWords(tuple(facts), tuple(placed))


def _field_texts(mail: Indexable, filenames: Sequence[str]) -> dict[str, str]:
    stated = "" if mail.sender_address in mail.sender.lower() else f" {mail.sender_address}"
    return {
        "subject": mail.subject,
        "from": _with_both_spellings(f"{mail.sender}{stated}"),
        "to": _with_both_spellings("\n".join((mail.recipients, mail.cc, mail.bcc))),
        "filename": "\n".join(name for name in filenames if name),
    }


def _with_both_spellings(text: str) -> str:
    """The text, and its addresses again with their domain's other spelling (RFC 5890: U-labels or A-labels)."""
    if text.isascii() and "xn--" not in text.lower():
        return text
    found = dict.fromkeys(islice(_ADDRESS.findall(text), MAX_RESPELLED))
    others = [f"{local}@{other}" for local, domain in found if (other := other_spelling(domain))]
    return "\n".join((text, *others))


def _within_bytes(placed: Iterable[str]) -> Iterator[str]:
    total = 0
    for word in placed:
        total += len(word.encode())
        if total > MAX_BYTES:
            return
        yield word


def text_for(vendor: str, each: IndexedWords) -> str:
    """The words in the form of this database ("sqlite" or "postgresql")."""
    return fts5_text(each) if vendor == "sqlite" else tsvector_text(each)


def fts5_text(each: IndexedWords) -> str:
    """The words as the text of an FTS5 row (SQLite), which takes positions from their order."""
    return " ".join((*each.facts, _BARRIER, *each.placed))


def tsvector_text(each: IndexedWords) -> str:
    """The words in PostgreSQL's input syntax for a tsvector, with their positions."""
    positions: dict[str, list[str]] = {}
    for position, word in enumerate(each.placed, start=1):
        if word != _BARRIER:
            positions.setdefault(word, []).append(str(position))
    parts = [f"'{fact}'" for fact in each.facts]
    # PostgreSQL keeps at most 255 positions per word.
    parts += [f"'{word}':{','.join(where[:255])}" for word, where in positions.items()]
    return " ".join(parts)
