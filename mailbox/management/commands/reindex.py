"""manage.py reindex [--all]: write the search index of every message that has none, or an outdated one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.db.models import Q

from mailbox.models import Message
from mailbox.search.index import empty_index, index_messages, sweep_words
from mailbox.search.tokenizer import VERSION

BATCH = 200  # messages in one transaction, which takes well below 250 ms
PROGRESS_SECONDS = 5.0


def waiting_pks(after: int = 0) -> list[int]:
    """The next batch of messages without an up-to-date index row, by pk."""
    outdated = Q(search_row=None) | ~Q(search_row__version=VERSION)
    waiting = Message.objects.filter(outdated, pk__gt=after).order_by("pk")
    return list(waiting.values_list("pk", flat=True)[:BATCH])


def reindex_batches() -> Iterator[int]:
    """Index all messages without an up-to-date index row, one transaction a batch; yield the size of each batch.

    It may be interrupted and started again.
    """
    last = 0
    while pks := waiting_pks(last):
        with transaction.atomic():
            # Locks the rows against a sync that changes them (PostgreSQL; SQLite has one writer anyway).
            index_messages(list(Message.objects.filter(pk__in=pks).order_by("pk").select_for_update()))
        last = pks[-1]
        yield len(pks)


class Command(BaseCommand):
    help = (
        "Write the search index of every message that has none or an outdated one. It may be interrupted and started "
        "again: it goes on where it was. The site may run meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="Empty the index first and write all of it again.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["all"]:
            empty_index()
        total = Message.objects.count()
        started = shown = time.monotonic()
        done = 0
        for size in reindex_batches():
            done += size
            if time.monotonic() - shown >= PROGRESS_SECONDS:
                shown = time.monotonic()
                self.stdout.write(f"{done} messages indexed, {done / (shown - started):.0f} a second; {total} in all.")
        swept = 0
        while removed := sweep_words():
            swept += removed
        self.stdout.write(f"Done: {done} messages indexed, {swept} leftovers of deleted messages removed.")
