"""The position of each message in the search index. Its words are in tables of each database's own kind: see
mailbox.search.index."""

from __future__ import annotations

from django.db import models

from mailbox.models.messages import Message


class MessageSearch(models.Model):
    """One indexed message. Its key sorts by date, so that the index returns hits in the order of lists."""

    # Seconds of received_at since 1970 in the upper bits, the message's pk in the lower 30. Descending order is newest
    # first and, at equal times, the higher pk first.
    sort_key = models.BigIntegerField(primary_key=True)
    message = models.OneToOneField(Message, models.CASCADE, related_name="search_row")
    version = models.PositiveSmallIntegerField()  # the search.tokenizer.VERSION that made its words

    class Meta:
        db_table = "message_search"
        verbose_name = "entry of the search index"
        verbose_name_plural = "search index"

    def __str__(self) -> str:
        return f"search row of message {self.message_id}"
