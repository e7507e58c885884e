"""Messages, the places they lie in, their attachments, and where their raw bytes are.

The raw bytes are the truth; these tables are their index and can be made again from them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.utils import timezone

from mailbox.mime import message as mime_message
from mailbox.models.accounts import Account
from mailbox.models.file_kinds import LARGE_FROM, KindOf
from mailbox.models.sync import Folder

# Columns of messages that no list shows: long ones, and those stored behind them, which a row is read over for.
UNLISTED = (
    "body_text",
    "body_html",
    "references_header",
    "recipients",
    "cc",
    "bcc",
    "parse_defects",
    "parser_version",
    "attached_text",
)


def present_parser() -> int:
    return mime_message.PARSER_VERSION


class RawMessage(models.Model):
    """Where the bytes with this SHA-256 lie: a stretch of a segment file in the raw store."""

    digest = models.CharField(max_length=64, primary_key=True)  # hex
    segment = models.CharField(max_length=100, db_index=True)
    offset = models.BigIntegerField()
    length = models.BigIntegerField()
    # Storing the digest again renews it; the sweep leaves young ones alone, as their row may be about to commit.
    stored_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "raw_messages"

    def __str__(self) -> str:
        return self.digest


class MessageQuerySet(models.QuerySet["Message"]):
    def listed(self) -> MessageQuerySet:
        """Rows for a list: without the bodies, which are large."""
        return self.defer(*UNLISTED)

    def visible(self) -> MessageQuerySet:
        """Messages that lie somewhere still: not expunged everywhere."""
        return self.filter(gone_at=None)

    def with_message_id(self, account_id: int, message_id: str) -> MessageQuerySet:
        """By Message-ID, with or without its angle brackets; several when two mails claim one."""
        bare = message_id.strip().removeprefix("<").removesuffix(">")
        return self.filter(account_id=account_id, message_id__in=[bare, f"<{bare}>"]).order_by("variant", "pk")


class Message(models.Model):
    """One mail of an account. The headers' names are the RFC 5322 fields'."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="messages")
    # As written, angle brackets and all; the SHA-256 of the raw bytes when absent, empty or longer than 998 bytes.
    message_id = models.CharField(max_length=998)
    # 0 for the first mail with this Message-ID; 1, 2, ... for others that claim it but differ (a forgery, or a bug).
    variant = models.PositiveIntegerField(default=0)
    subject = models.TextField(blank=True)
    sender = models.TextField(blank=True)  # as shown: Ann <ann@example.com>
    sender_address = models.TextField(blank=True)  # lower case, address only
    recipients = models.TextField(blank=True)
    cc = models.TextField(blank=True)
    bcc = models.TextField(blank=True)
    reply_to = models.TextField(blank=True)
    in_reply_to = models.TextField(blank=True)
    references_header = models.TextField(blank=True)
    date = models.DateTimeField(null=True)  # the Date header
    received_at = models.DateTimeField()  # INTERNALDATE, of the earliest place
    snippet = models.CharField(max_length=120, blank=True)
    has_attachments = models.BooleanField(default=False)
    attachments = models.JSONField(default=list, blank=True)
    size = models.BigIntegerField(default=0)
    raw_digest = models.CharField(max_length=64)
    is_complete = models.BooleanField(default=True)  # False: over the size limit, only the headers are here
    seen = models.BooleanField(default=False)  # in every place
    flagged = models.BooleanField(default=False)  # in some place
    answered = models.BooleanField(default=False)
    gone_at = models.DateTimeField(null=True, blank=True)  # its last place was expunged then
    parse_defects = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Last, so that a list reads a row without walking over its bodies (SQLite stores columns in order).
    body_text = models.TextField(blank=True)
    body_html = models.TextField(blank=True)
    # mime.PARSER_VERSION that read it; None: one before versions were kept. Behind the bodies, as it came later: lists
    # must not ask for it, and what looks for old ones has an index.
    parser_version = models.PositiveSmallIntegerField(null=True, default=present_parser, editable=False)
    # Of messages attached to it: searched, not shown.
    attached_text = models.TextField(blank=True, default="", db_default="", editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
        db_table = "messages"
        constraints = [
            models.UniqueConstraint(fields=["account", "message_id", "variant"], name="message_unique"),
        ]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="message_newest"),
            models.Index(fields=["account", "-received_at", "-id"], name="message_newest_of_account"),
            # For is:unread and is:flagged: in a large mailbox nearly all mail is read and not flagged.
            models.Index(fields=["-received_at", "-id"], name="message_unread", condition=models.Q(seen=False)),
            models.Index(fields=["-received_at", "-id"], name="message_flagged", condition=models.Q(flagged=True)),
            # The lists count what is unread on every look.
            models.Index(fields=["account"], name="message_unread_count", condition=models.Q(seen=False, gone_at=None)),
            models.Index(fields=["parser_version", "id"], name="message_parsed_by"),
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"


class MessagePlaceQuerySet(models.QuerySet["MessagePlace"]):
    def present(self) -> MessagePlaceQuerySet:
        return self.filter(gone_at=None)


class MessagePlace(models.Model):
    """Where a message lies on the server: a folder and a UID. One mail in two folders has two."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="places")
    folder = models.ForeignKey(Folder, models.CASCADE, related_name="places")
    uidvalidity = models.BigIntegerField()
    uid = models.BigIntegerField()
    seen = models.BooleanField(default=False)
    answered = models.BooleanField(default=False)
    flagged = models.BooleanField(default=False)
    draft = models.BooleanField(default=False)
    deleted = models.BooleanField(default=False)
    keywords = models.JSONField(default=list, blank=True)
    labels = models.JSONField(null=True, blank=True)  # Gmail's (X-GM-LABELS), decoded; None where there are none
    size = models.BigIntegerField()  # RFC822.SIZE
    received_at = models.DateTimeField()  # INTERNALDATE
    raw_digest = models.CharField(max_length=64, db_index=True)
    header_digest = models.CharField(max_length=64)
    modseq = models.BigIntegerField(null=True)
    is_complete = models.BooleanField(default=True)
    fetch_requested_at = models.DateTimeField(null=True, blank=True)  # "Fetch now" of a too large message
    gone_at = models.DateTimeField(null=True, blank=True)

    objects = MessagePlaceQuerySet.as_manager()

    class Meta:
        db_table = "message_places"
        verbose_name = "place of a message"
        verbose_name_plural = "places of messages"
        constraints = [models.UniqueConstraint(fields=["folder", "uidvalidity", "uid"], name="place_unique")]
        indexes = [
            models.Index(fields=["folder", "-received_at", "-id"], name="place_newest"),
            models.Index(fields=["folder"], name="place_unread_count", condition=models.Q(seen=False, gone_at=None)),
            # Each run asks what people want fetched: without it, that walks over all that is stored.
            models.Index(fields=["folder"], name="place_wanted", condition=models.Q(fetch_requested_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"UID {self.uid} of folder {self.folder_id}"


class Attachment(models.Model):
    """One attachment of a received message; the bytes are cut from the raw message when asked for."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="attachment_rows")
    # The message's own, written with it: a list of attachments by date, of an account, is read from an index.
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    received_at = models.DateTimeField()
    position = models.PositiveIntegerField()  # the index that mime.attachment_bytes takes
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=255)
    size = models.BigIntegerField()  # bytes, decoded
    content_id = models.CharField(max_length=998, blank=True)
    is_inline = models.BooleanField(default=False)
    digest = models.CharField(max_length=64)  # SHA-256 of the decoded bytes
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "attachments"
        constraints = [models.UniqueConstraint(fields=["message", "position"], name="attachment_unique")]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="attachment_newest"),
            models.Index(fields=["account", "-received_at", "-id"], name="attachment_of_account"),
            models.Index(KindOf("content_type"), F("received_at").desc(), F("id").desc(), name="attachment_of_kind"),
            # With the size, so that looking for the few very large ones reads the index alone.
            models.Index(
                fields=["-received_at", "-id", "size"],
                name="attachment_large",
                condition=models.Q(size__gte=LARGE_FROM),
            ),
        ]

    def __str__(self) -> str:
        return self.filename
