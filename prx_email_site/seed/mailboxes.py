"""Accounts, folders, counters and received mail with its search index for a seeded database; always the same.

Nothing comes from a server. See manage.py seed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from django.db import connection, transaction

from mailbox.messages import conversations
from mailbox.models import (
    Account,
    Attachment,
    ConversationLink,
    Counter,
    Folder,
    Message,
    MessagePlace,
    MessageSearch,
    SyncState,
    Transport,
)
from mailbox.search.index import empty_index, sort_key
from mailbox.search.index_terms import IndexedWords, text_for, words_of
from mailbox.search.tokenizer import VERSION
from mailbox.storage import raw_store
from prx_email_site.seed.letters import SampleFile, SeededMessage, letters
from prx_email_site.seed.tables import RowWriter, moment, next_pk

LETTERS = 4_000
FOLDERS = (("INBOX", ""), ("Archive", "\\Archive"), ("Sent", "\\Sent"), ("Lists", ""))
_FOLDER_OF = (0, 0, 0, 0, 0, 0, 1, 1, 2, 3)  # the indexes of the folders of ten successive mails
APART = timedelta(seconds=37)  # a million mails are 14 months
NEW_MAIL = 2_000  # of these newest mails every third is unread; of all others one in 200


@dataclass(frozen=True)
class SeededAccount:
    """An account with the pks of its folders."""

    pk: int
    email: str
    folders: tuple[int, ...]


def ticket(number: int) -> str:
    """A word that only this mail contains. The index takes it as one word."""
    return f"ref{number:08d}"


def make_accounts(count: int, now: datetime) -> list[SeededAccount]:
    """Make so many accounts with folders and the counters of 30 days. Their servers do not exist, and none is
    synced."""
    made = []
    for number in range(count):
        with transaction.atomic():
            transports = {}
            for kind, port in (("imap", 993), ("smtp", 465)):
                transport = Transport(kind=kind, host=f"{kind}.site.example", port=port, user=f"seed{number}")
                transport.password = "seeded"  # noqa: S105 - of no server
                transport.save()
                transports[kind] = transport
            account = Account.objects.create(
                email=f"seed{number}@site.example", sync_enabled=False, folders_listed_at=now, **transports
            )
            folders = [
                Folder.objects.create(account=account, name=name, special_use=use, sync_enabled=True, delimiter="/")
                for name, use in FOLDERS
            ]
            for folder in folders:
                SyncState.objects.create(
                    account=account, folder=folder, uidvalidity=1, backfill_cursor=1, last_success_at=now
                )
            hours = (now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hour) for hour in range(24 * 30))
            Counter.objects.bulk_create(
                Counter(account=account, name=name, hour=hour, value=(hour.day * hour.hour + number) % 40 + 1)
                for hour in hours
                for name in ("messages_received", "sends")
            )
        made.append(SeededAccount(account.pk, account.email, tuple(folder.pk for folder in folders)))
    return made


class SamplePool:
    """The letters, with their raw bytes on disk and their index terms, which are costly and so made once."""

    def __init__(self, count: int) -> None:
        self.letters = letters(count)
        self.digests = raw_store.save_batch([letter.raw for letter in self.letters])
        self._vendor = connection.vendor
        self._words = [self._placed(letter) for letter in self.letters]
        self._facts: dict[tuple[int, int], str] = {}

    def chosen(self, number: int, accounts: int) -> int:
        """The index of a mail's letter. It varies from round to round, so that each account gets all kinds of them."""
        return (number * 7_919 + number // accounts) % len(self.letters)

    def _placed(self, letter: SeededMessage) -> tuple[str, int]:
        names = [letter.filename] if letter.filename else []
        placed = words_of(letter, account_id=0, size=0, has_attachments=False, filenames=names).placed
        return text_for(self._vendor, IndexedWords((), placed)), len(placed)

    def text(self, place: SeededAccount, number: int, own_word: str) -> str:
        """The index's text of a message: terms of the account and the letter, and the mail's own word at the end."""
        text, length = self._words[number]
        letter = self.letters[number]
        if (place.pk, number) not in self._facts:
            has = letter.file is not None
            found = words_of(
                _NOTHING, account_id=place.pk, size=len(letter.raw), has_attachments=has, filenames=()
            ).facts
            self._facts[place.pk, number] = " ".join(found if self._vendor == "sqlite" else (f"'{w}'" for w in found))
        facts = self._facts[place.pk, number]
        if self._vendor == "sqlite":
            return f"{facts} {text} {own_word}"
        return f"{facts} {text} '{own_word}':{length + 1}"


_NOTHING = SeededMessage("", "", "", "", "", "", "", b"")


# The columns that differ from mail to mail.
_MESSAGE = [
    "id",
    "account_id",
    "message_id",
    "subject",
    "sender",
    "sender_address",
    "recipients",
    "date",
    "received_at",
    "snippet",
    "has_attachments",
    "attachments",
    "size",
    "raw_digest",
    "seen",
    "flagged",
    "in_reply_to",
    "body_text",
    "body_html",
]
_PLACE = [
    "id",
    "message_id",
    "folder_id",
    "uidvalidity",
    "uid",
    "seen",
    "flagged",
    "size",
    "received_at",
    "raw_digest",
    "header_digest",
]


class SampleMailbox:
    """Writes received mail: the message, its place, its conversation link, its attachment and its search terms."""

    models_written = (Message, MessagePlace, Attachment, MessageSearch)

    def __init__(self, pool: SamplePool, places: list[SeededAccount], newest: datetime, count: int) -> None:
        self.pool, self.places, self.count = pool, places, count
        self.begin = newest - APART * count
        if not Message.objects.exists():
            empty_index()  # terms of removed messages may be left under these keys (see sweep_words)
        self.first_pk, self.first_place = next_pk(Message), next_pk(MessagePlace)
        self.messages = RowWriter(Message, _MESSAGE)
        self.lying = RowWriter(MessagePlace, _PLACE)
        self.links = RowWriter(ConversationLink, ["message_id", "account_id", "conversation", "id_key", "received_at"])
        names = ["message_id", "account_id", "received_at", "position", "filename", "content_type", "size", "digest"]
        self.attachments = RowWriter(Attachment, names)
        index = ["sort_key", "message_id", "version"]
        if connection.vendor == "postgresql":
            self.index = RowWriter.plain("message_search", [*index, "words"])
        else:
            self.index, self.words = (
                RowWriter(MessageSearch, index),
                RowWriter.plain("message_words", ["rowid", "words"]),
            )

    def write(self, number: int) -> None:
        """Add the message with this number and its search index; the same on each run for as many messages."""
        pool, place, pk = self.pool, self.places[number % len(self.places)], self.first_pk + number
        chosen = pool.chosen(number, len(self.places))
        letter, digest = pool.letters[chosen], pool.digests[chosen]
        at = self.begin + APART * number
        when, own = moment(at), ticket(number)
        age = self.count - number
        seen = bool(age % 3) if age <= NEW_MAIL else bool(number % 200)
        flagged = number % 500 == 0
        # Three successive mails of an account are a conversation.
        root = number - number // len(self.places) % 3 * len(self.places)
        message_id, root_id = f"<{number}@seed.example>", f"<{root}@seed.example>"
        file = letter.file
        self.messages.add(
            pk, place.pk, message_id, letter.subject, letter.sender, letter.sender_address, letter.recipients, when,
            when, letter.snippet, bool(file), _described(file), len(letter.raw), digest, seen,
            flagged, root_id if root != number else "", f"{letter.body_text}{own}\n", letter.body_html,
        )  # fmt: skip
        folder = place.folders[_FOLDER_OF[number // len(self.places) % 10]]
        self.lying.add(
            self.first_place + number, pk, folder, 1, number + 1, seen, flagged, len(letter.raw), when, digest, digest
        )
        self.links.add(pk, place.pk, conversations.key_of(root_id), conversations.key_of(message_id), when)
        if file:
            self.attachments.add(
                pk, place.pk, when, 0, file.filename, file.content_type, len(file.content), file.digest
            )
        self._index(sort_key(at, pk), pk, pool.text(place, chosen, own))

    def _index(self, key: int, pk: int, text: str) -> None:
        if connection.vendor == "postgresql":
            self.index.add(key, pk, VERSION, text)
        else:
            self.index.add(key, pk, VERSION)
            self.words.add(key, text)

    def flush(self) -> None:
        """Insert the rows that wait in memory."""
        for rows in (self.messages, self.lying, self.links, self.attachments, self.index):
            rows.flush()
        if connection.vendor != "postgresql":
            self.words.flush()


@cache
def _described(file: SampleFile | None) -> str:
    """The value of the column `attachments` for this file."""
    if file is None:
        return "[]"
    said = {"content_type": file.content_type, "size": len(file.content), "content_id": "", "is_inline": False}
    return json.dumps([said | {"position": 0, "filename": file.filename, "digest": file.digest}])


def newest_moment(now: datetime) -> datetime:
    """The time in whole seconds, as in IMAP; the search's sort keys have no finer resolution."""
    return now.astimezone(UTC).replace(microsecond=0)
