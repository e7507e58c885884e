"""The conversation of each message. A small table of its own, so that lists group messages without reading bodies."""

from __future__ import annotations

from django.db import models

from mailbox.models.accounts import Account
from mailbox.models.messages import Message


class ConversationLink(models.Model):
    """A message's conversation. Keys are 64 bits of the SHA-256 of Message-IDs (see mailbox.messages.conversations)."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="link")
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    conversation = models.BigIntegerField()  # the key of the Message-ID with which the conversation began
    id_key = models.BigIntegerField()  # the key of the message's own Message-ID
    thread_key = models.BigIntegerField(null=True)  # key of Thread-Index and subject; None without a Thread-Index
    received_at = models.DateTimeField()  # a copy of the message's, so that one index finds the newest

    class Meta:
        db_table = "conversation_links"
        indexes = [
            models.Index(fields=["account", "conversation", "-received_at", "-message"], name="link_newest"),
            models.Index(fields=["account", "id_key"], name="link_of_message_id"),
            models.Index(
                fields=["account", "thread_key"], name="link_of_thread", condition=models.Q(thread_key__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"message {self.message_id} of conversation {self.conversation}"
