"""Writes the search index: which words stand in which message, keyed so that the newest are found first.

SQLite keeps the words in an FTS5 table, PostgreSQL in a tsvector column with a GIN index; mailbox.search_words makes
the words for both, so neither database's own tokenizer, language or stop words matter. No triggers: the index is
written by index_messages() in the transaction that writes the message.

A word found in one field stands in the index a second time with the field's mark before it, and facts that seldom
change (account, size, has an attachment) are words too. So the index alone answers most of a search. The marks are
private-use characters, which no word of a mail ever holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from mailbox.mime_text import html_words
from mailbox.models import Message, MessageSearch
from mailbox.search_words import VERSION, words
from typing import Any

from django.db import connection, transaction

FIELD_MARKS = {"subject": "\ue001", "from": "\ue002", "to": "\ue003", "filename": "\ue004"}
_FACT = "\ue000"
EVERY_MESSAGE = f"{_FACT}all"
HAS_ATTACHMENT = f"{_FACT}attachment"
_BARRIER = "\ue005"  # between fields: no phrase reaches over it

# PostgreSQL clamps positions in a tsvector at 16,383 and refuses one above 1 MB; SQLite gets the same words.
MAX_POSITIONS = 16_000
MAX_BYTES = 400_000
_FIELD_LIMITS = {"subject": 300, "from": 100, "to": 2_000, "filename": 300}
_LARGEST_OCTAVE = 50  # a petabyte: what claims to be larger is taken for as large
_HTML_CHARACTERS = 200_000
_PK_BITS = 30
_CHUNK = 500


def sort_key(received_at: datetime, pk: int) -> int:
    """Where a message stands in the list: newest highest. Good for 2**30 messages and the years 1700 to 2240."""
    return (int(received_at.timestamp() // 1) << _PK_BITS) + (pk & ((1 << _PK_BITS) - 1))


def place_of(key: int) -> tuple[datetime, int]:
    """A received_at (to the second) and pk of which sort_key makes this key again."""
    return datetime.fromtimestamp(key >> _PK_BITS, tz=UTC), key & ((1 << _PK_BITS) - 1)


def first_key(moment: datetime) -> int:
    """The lowest key of a message received at this second or later."""
    return sort_key(moment, 0)


def account_mark(account_id: int) -> str:
    return f"{_FACT}a{account_id}"


def _octave_mark(octave: int) -> str:
    return f"{_FACT}s{octave}"


def _quarter_mark(size: int) -> str:
    """Each power of two in four parts, so that few of the mails with a mark lie on the wrong side of a bound."""
    size = min(size, 2**_LARGEST_OCTAVE - 1)
    octave = size.bit_length()
    quarter = size >> (octave - 3) & 3 if octave >= 3 else 0
    return f"{_FACT}s{octave}q{quarter}"


def marks_of_size(size: int) -> list[str]:
    """The marks of a message of this size."""
    return [_octave_mark(min(size.bit_length(), _LARGEST_OCTAVE)), _quarter_mark(size)]


def size_marks(larger: int) -> list[str]:
    """The marks of which each message above this size has one; a few below it have one too."""
    octave = min((larger + 1).bit_length(), _LARGEST_OCTAVE)
    first = int(_quarter_mark(larger + 1)[-1])
    quarters = [f"{_FACT}s{octave}q{quarter}" for quarter in range(first, 4)]
    return quarters + [_octave_mark(each) for each in range(octave + 1, _LARGEST_OCTAVE + 1)]


def size_marks_up_to(size: int) -> list[str]:
    """The marks of which each message of at most this size has one; a few above it have one too."""
    octave = min(size.bit_length(), _LARGEST_OCTAVE)
    last = int(_quarter_mark(size)[-1])
    quarters = [f"{_FACT}s{octave}q{quarter}" for quarter in range(last + 1)]
    return [_octave_mark(each) for each in range(octave)] + quarters


@dataclass(frozen=True)
class IndexedWords:
    facts: tuple[str, ...]
    placed: tuple[str, ...]  # in order, barriers between the fields


def words_of(message: Message) -> IndexedWords:
    """All words under which a message is found. Pure."""
    facts = [EVERY_MESSAGE, account_mark(message.account_id)]
    facts += marks_of_size(max(message.size, 0))
    if message.has_attachments:
        facts.append(HAS_ATTACHMENT)
    placed: list[str] = []
    for field, text in _field_texts(message).items():
        found = words(text, _FIELD_LIMITS[field])
        placed += [*found, _BARRIER, *(FIELD_MARKS[field] + word for word in found), _BARRIER]
    body = message.body_text if message.body_text.strip() else html_words(message.body_html, _HTML_CHARACTERS)
    placed += words(body[: MAX_POSITIONS * 40], MAX_POSITIONS - len(placed))
    if sum(map(len, placed)) * 4 > MAX_BYTES:  # UTF-8 has at most 4 bytes a character
        placed = list(_within_bytes(placed))
    return IndexedWords(tuple(facts), tuple(placed))


def _field_texts(message: Message) -> dict[str, str]:
    names = [each.get("filename") for each in message.attachments or () if isinstance(each, dict)]
    return {
        "subject": message.subject,
        "from": f"{message.sender} {message.sender_address}"
        if message.sender_address not in message.sender.lower()
        else message.sender,
        "to": "\n".join((message.recipients, message.cc, message.bcc)),
        "filename": "\n".join(str(name) for name in names if name),
    }


def _within_bytes(placed: Iterable[str]) -> Iterator[str]:
    total = 0
    for word in placed:
        total += len(word.encode())
        if total > MAX_BYTES:
            return
        yield word


def index_text(message: Message) -> str:
    """The message's words as this database takes them. The costly part: do it before a transaction begins."""
    each = words_of(message)
    if connection.vendor == "sqlite":
        return " ".join((*each.facts, _BARRIER, *each.placed))
    return tsvector_text(each)


def index_messages(messages: Sequence[Message], texts: Mapping[int, str] | None = None) -> None:
    """Write the index rows of these saved messages, new or changed; call it in the transaction that saves them.

    `texts`: what index_text() said of a message object, by its id(); of the others it is asked here.
    """
    texts = texts or {}
    unique = list({message.pk: message for message in messages}.values())
    for start in range(0, len(unique), _CHUNK):
        batch = unique[start : start + _CHUNK]
        rows = [
            (sort_key(each.received_at, each.pk), each.pk, texts.get(id(each)) or index_text(each)) for each in batch
        ]
        with transaction.atomic():
            _write(rows)


def unindex(pks: Iterable[int]) -> int:
    """Remove the index rows of these messages; call it in the transaction that deletes them. Returns how many."""
    wanted, removed = list(pks), 0
    for start in range(0, len(wanted), _CHUNK):
        with transaction.atomic():
            rows = MessageSearch.objects.filter(message_id__in=wanted[start : start + _CHUNK])
            _forget_words(list(rows.values_list("sort_key", flat=True)))
            removed += rows.delete()[0]
    return removed


def sweep_words(limit: int = 5_000) -> int:
    """SQLite: remove words whose message was deleted without unindex() (an account's cascade). Returns how many.

    They are never found, as a search joins the messages; they only take room. In PostgreSQL they went with the row.
    """
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM message_words_content WHERE id NOT IN (SELECT sort_key FROM message_search) LIMIT %s",
            [limit],
        )
        orphans = [row[0] for row in cursor.fetchall()]
    for start in range(0, len(orphans), _CHUNK):
        with transaction.atomic():
            _forget_words(orphans[start : start + _CHUNK])
    return len(orphans)


def empty_index() -> None:
    """Remove everything: `reindex --all` then writes it again."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # Dropped and made anew: FTS5 deletes row by row, minutes for a large mailbox.
            cursor.execute("DROP TABLE message_words")
            cursor.execute(
                """CREATE VIRTUAL TABLE message_words USING fts5(words, tokenize = "ascii", columnsize = 0)"""
            )
            cursor.execute("DELETE FROM message_search")
        else:
            cursor.execute("DELETE FROM message_search")


def _forget_words(keys: Sequence[int]) -> None:
    if connection.vendor == "sqlite" and keys:
        with connection.cursor() as cursor:
            cursor.executemany("DELETE FROM message_words WHERE rowid = %s", [(key,) for key in keys])


def _write(rows: list[tuple[int, int, str]]) -> None:
    if connection.vendor == "sqlite":
        _write_sqlite(rows)
    else:
        _write_postgresql(rows)


def _write_sqlite(rows: list[tuple[int, int, str]]) -> None:
    known = dict(
        MessageSearch.objects.filter(message_id__in=[pk for _, pk, _ in rows]).values_list("message_id", "sort_key")
    )
    moved = [known[pk] for key, pk, _ in rows if known.get(pk, key) != key]
    _forget_words(moved)
    MessageSearch.objects.filter(sort_key__in=moved).delete()
    MessageSearch.objects.bulk_create(
        [MessageSearch(sort_key=key, message_id=pk, version=VERSION) for key, pk, _ in rows],
        update_conflicts=True,
        unique_fields=["sort_key"],
        update_fields=["message", "version"],
    )
    with connection.cursor() as cursor:
        # REPLACE, not INSERT: the words may have outlived their message (see sweep_words).
        cursor.executemany(
            "REPLACE INTO message_words (rowid, words) VALUES (%s, %s)", [(key, text) for key, _, text in rows]
        )


def _write_postgresql(rows: list[tuple[int, int, str]]) -> None:
    parameters: list[Any] = []
    for key, pk, text in rows:
        parameters += [key, pk, VERSION, text]
    values = ", ".join(["(%s, %s, %s, %s::tsvector)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO message_search (sort_key, message_id, version, words) VALUES {values} "  # noqa: S608
            "ON CONFLICT (message_id) DO UPDATE SET sort_key = excluded.sort_key, version = excluded.version, "
            "words = excluded.words",
            parameters,
        )


def tsvector_text(each: IndexedWords) -> str:
    """The words in PostgreSQL's input syntax for a tsvector, with their positions."""
    positions: dict[str, list[str]] = {}
    for position, word in enumerate(each.placed, start=1):
        if word != _BARRIER:
            positions.setdefault(word, []).append(str(position))
    parts = [f"'{fact}'" for fact in each.facts]
    # PostgreSQL keeps at most 255 positions of a word.
    parts += [f"'{word}':{','.join(where[:255])}" for word, where in positions.items()]
    return " ".join(parts)
