"""Writes the search index: the words of each message, under a key by which the newest are found first.

SQLite keeps the words in an FTS5 table, PostgreSQL in a tsvector column with a GIN index. mailbox.search.index_terms
makes the words for both, so that the databases' own tokenizers, languages and stop words do not matter. There are no
triggers: index_messages() writes the index in the transaction that writes the messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from mailbox.db import bulk_insert
from mailbox.models import Message, MessageSearch
from mailbox.search.index_terms import text_for, words_of
from mailbox.search.tokenizer import VERSION

_PK_BITS = 30
_CHUNK = 500
# FTS5 writes one segment per commit and merges segments, by default four at a time. That rewrote each word several
# times and took longer than indexing. Here it merges 64 at a time, some pages with each commit; with more than 64
# segments on a level, a page of results takes up to a millisecond longer. hashsize: bytes that FTS5 holds in memory,
# large enough that a batch becomes one segment.
MERGING = {"automerge": 64, "crisismerge": 500, "hashsize": 8 * 1024 * 1024}
_STATEMENT_ROWS = (1, 8, 64, 512)  # possible numbers of rows in one statement; unused rows are NULL


def sort_key(received_at: datetime, pk: int) -> int:
    """The message's key, highest for the newest. Valid for 2**30 messages and the years 1700 to 2240."""
    return (int(received_at.timestamp() // 1) << _PK_BITS) + (pk & ((1 << _PK_BITS) - 1))


def moment_and_pk_of(key: int) -> tuple[datetime, int]:
    """The received_at (in whole seconds) and pk from which sort_key() makes this key."""
    return datetime.fromtimestamp(key >> _PK_BITS, tz=UTC), key & ((1 << _PK_BITS) - 1)


def first_key(moment: datetime) -> int:
    """The lowest key of a message received at this second or later."""
    return sort_key(moment, 0)


def index_text(message: Message) -> str:
    """The message's words in the form of this database. Slow, so call it before a transaction begins."""
    names = [str(each.get("filename") or "") for each in message.attachments or () if isinstance(each, dict)]
    found = words_of(
        message,
        account_id=message.account_id,
        size=message.size,
        has_attachments=message.has_attachments,
        filenames=names,
    )
    return text_for(connection.vendor, found)


def index_messages(messages: Sequence[Message], texts: Mapping[int, str] | None = None) -> None:
    """Write the index rows of these saved messages, new or changed. Call it in the transaction that saves them.

    texts: id() of a message object -> its index_text(); made here for messages that are not in it.
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
    """Remove the index rows of these messages. Returns how many. Call it in the transaction that deletes them."""
    wanted, removed = list(pks), 0
    for start in range(0, len(wanted), _CHUNK):
        with transaction.atomic():
            rows = MessageSearch.objects.filter(message_id__in=wanted[start : start + _CHUNK])
            _forget_words(list(rows.values_list("sort_key", flat=True)))
            removed += rows.delete()[0]
    return removed


def sweep_words(limit: int = 5_000) -> int:
    """SQLite: remove words whose message was deleted without unindex(), as by deleting its account. Returns how many.

    They only take space: a search does not find them, as it joins message_search. On PostgreSQL words are in the row.
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
    """Remove all index rows; `reindex --all` then writes them again."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # Dropped and created again, as FTS5 deletes row by row, which takes minutes for a large mailbox.
            cursor.execute("DROP TABLE message_words")
            cursor.execute(
                """CREATE VIRTUAL TABLE message_words USING fts5(words, tokenize = "ascii", columnsize = 0)"""
            )
            for name, value in MERGING.items():
                cursor.execute("INSERT INTO message_words (message_words, rank) VALUES (%s, %s)", [name, value])
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
    there = bulk_insert.known(MessageSearch, "message_id", [pk for _, pk, _ in rows])
    known = dict(MessageSearch.objects.filter(message_id__in=there).values_list("message_id", "sort_key"))
    moved = [known[pk] for key, pk, _ in rows if known.get(pk, key) != key]
    if moved:
        _forget_words(moved)
        MessageSearch.objects.filter(sort_key__in=moved).delete()
    # REPLACE and not INSERT, as words may be left from a deleted message (see sweep_words).
    with connection.cursor() as cursor:
        for part in bulk_insert.parts(rows):
            placeholders = ", ".join(["(%s, %s, %s)"] * len(part))
            cursor.execute(
                f"REPLACE INTO message_search (sort_key, message_id, version) VALUES {placeholders}",  # noqa: S608 - placeholders only
                [value for key, pk, _ in part for value in (key, pk, VERSION)],
            )
        _write_words(cursor, sorted((key, text) for key, _, text in rows))


def _write_words(cursor: Any, words: list[tuple[int, str]]) -> None:
    """Write words in one statement, in ascending order of rowid.

    FTS5 writes a segment before each further statement of several rows (for its savepoint), and whenever a rowid is
    lower than the one before. Merging it later costs as much again.

    The number of rows is one of few, since Python's sqlite3 caches each statement with its last values.
    """
    length = next(rows for rows in _STATEMENT_ROWS if rows >= len(words))
    parameters: list[Any] = [value for row in words for value in row]
    placeholders = ", ".join(["(%s, %s)"] * length)
    cursor.execute(
        "REPLACE INTO message_words (rowid, words) SELECT column1, column2 "  # noqa: S608 - placeholders only
        f"FROM (VALUES {placeholders}) WHERE column1 IS NOT NULL",
        parameters + [None] * (2 * (length - len(words))),
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
