"""Which message stands where in the search index. The words are in vendor tables: see mailbox.search.index."""

from __future__ import annotations

from django.db import models

from mailbox.models.messages import Message


class MessageSearch(models.Model):
    """One indexed message. Its key sorts by date, so that the index answers in the order of the list."""

    # Seconds of received_at since 1970 in the upper bits, the message's pk in the lower 30: newest first is key
    # descending, and with equal times the higher pk first.
    sort_key = models.BigIntegerField(primary_key=True)
    message = models.OneToOneField(Message, models.CASCADE, related_name="search_row")
    version = models.PositiveSmallIntegerField()  # of the way words were made: search_words.VERSION

    class Meta:
        db_table = "message_search"
        verbose_name = "entry of the search index"
        verbose_name_plural = "search index"

    def __str__(self) -> str:
        return f"search row of message {self.message_id}"
