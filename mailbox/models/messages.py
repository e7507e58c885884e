"""Messages, their places (folder and UID), their attachments, and the location of their raw bytes.

The raw bytes are the original; the parsed columns are derived from them and can be derived again.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.utils import timezone

from mailbox.mime import message as mime_message
from mailbox.models.accounts import Account
from mailbox.models.file_kinds import LARGE_FROM, LARGE_MAIL, KindOf
from mailbox.models.sync import Folder

# Columns of messages that lists do not load: long ones, and those stored behind them (SQLite reads a row in order).
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
    "other_recipients",
)


def present_parser() -> int:
    """The version of the parser, for new rows. Migration 0001 names this function, so its name stays."""
    return mime_message.PARSER_VERSION


class RawMessage(models.Model):
    """The location of the bytes with this SHA-256: a range of a segment file in the raw store."""

    digest = models.CharField(max_length=64, primary_key=True)  # hex
    segment = models.CharField(max_length=100, db_index=True)
    offset = models.BigIntegerField()
    length = models.BigIntegerField()
    # Renewed when the digest is stored again. The sweep skips recent ones, as a row that refers to them may be about to
    # commit.
    stored_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "raw_messages"

    def __str__(self) -> str:
        return self.digest


class MessageQuerySet(models.QuerySet["Message"]):
    """States of messages, as conditions of a query."""

    def listed(self) -> MessageQuerySet:
        """Rows for a list, without the columns of UNLISTED."""
        return self.defer(*UNLISTED)

    def visible(self) -> MessageQuerySet:
        """Messages that still have a place: not expunged from all folders."""
        return self.filter(gone_at=None)

    def with_message_id(self, account_id: int, message_id: str) -> MessageQuerySet:
        """Messages with this Message-ID, given with or without angle brackets. Several if mails differ (variants)."""
        bare = message_id.strip().removeprefix("<").removesuffix(">")
        return self.filter(account_id=account_id, message_id__in=[bare, f"<{bare}>"]).order_by("variant", "pk")


class Message(models.Model):
    """One mail of an account. Columns of header fields have their RFC 5322 names."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="messages")
    # As written, with angle brackets; the SHA-256 of the raw bytes if absent, empty or longer than 998 bytes.
    message_id = models.CharField(max_length=998)
    # 0 for the first mail with this Message-ID; 1, 2, ... for others that have it but differ (a forgery, or a bug).
    variant = models.PositiveIntegerField(default=0)
    subject = models.TextField(blank=True)
    sender = models.TextField(blank=True)  # for display: Ann <ann@example.com>
    sender_address = models.TextField(blank=True)  # lower case, address only
    recipients = models.TextField(blank=True)
    cc = models.TextField(blank=True)
    bcc = models.TextField(blank=True)
    reply_to = models.TextField(blank=True)
    in_reply_to = models.TextField(blank=True)
    references_header = models.TextField(blank=True)
    date = models.DateTimeField(null=True)  # the Date header
    received_at = models.DateTimeField()  # the earliest INTERNALDATE of its places
    snippet = models.CharField(max_length=120, blank=True)
    has_attachments = models.BooleanField(default=False)
    attachments = models.JSONField(default=list, blank=True)
    size = models.BigIntegerField(default=0)
    raw_digest = models.CharField(max_length=64)
    is_complete = models.BooleanField(default=True)  # False: above the size limit, only the header is stored
    seen = models.BooleanField(default=False)  # at every place
    flagged = models.BooleanField(default=False)  # at any place
    answered = models.BooleanField(default=False)  # at any place
    gone_at = models.DateTimeField(null=True, blank=True)  # when its last place was found expunged
    parse_defects = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Bodies follow the columns of lists, so that a list does not read over them (SQLite stores columns in order).
    body_text = models.TextField(blank=True)
    body_html = models.TextField(blank=True)
    # The mime.message.PARSER_VERSION by which it was parsed; None: before versions were kept. It was added later and is
    # stored behind the bodies, so lists must not load it; reparsing has an index.
    parser_version = models.PositiveSmallIntegerField(null=True, default=present_parser, editable=False)
    # Text of messages attached to it, for search; not displayed.
    attached_text = models.TextField(blank=True, default="", db_default="", editable=False)
    # Only in To, Cc or Bcc of a further copy (see messages.other_recipients). NULL for none: so SQLite adds the column
    # without writing the table anew.
    other_recipients = models.TextField(null=True, blank=True, editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
        db_table = "messages"
        constraints = [
            models.UniqueConstraint(fields=["account", "message_id", "variant"], name="message_unique"),
        ]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="message_newest"),
            models.Index(fields=["account", "-received_at", "-id"], name="message_newest_of_account"),
            # For is:unread and is:flagged, as nearly all mail of a large mailbox is read and not flagged.
            models.Index(fields=["-received_at", "-id"], name="message_unread", condition=models.Q(seen=False)),
            models.Index(fields=["-received_at", "-id"], name="message_flagged", condition=models.Q(flagged=True)),
            # Every list counts the unread messages.
            models.Index(fields=["account"], name="message_unread_count", condition=models.Q(seen=False, gone_at=None)),
            models.Index(fields=["parser_version", "id"], name="message_parsed_by"),
            # For the removal of expunged mail (mailbox.messages.purge).
            models.Index(fields=["gone_at"], name="message_gone", condition=models.Q(gone_at__isnull=False)),
            # For rules of retention about large mail.
            models.Index(fields=["received_at", "id"], name="message_large", condition=models.Q(size__gte=LARGE_MAIL)),
        ]

    def __str__(self) -> str:
        return self.subject or "(no subject)"


class MessagePlaceQuerySet(models.QuerySet["MessagePlace"]):
    """States of places, as conditions of a query."""

    def present(self) -> MessagePlaceQuerySet:
        """Places where the message still lies on the server, as far as is known."""
        return self.filter(gone_at=None)


class MessagePlace(models.Model):
    """A message's location on the server: folder, UIDVALIDITY and UID. One mail in two folders has two places."""

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
    labels = models.JSONField(null=True, blank=True)  # Gmail's (X-GM-LABELS), decoded; None from other servers
    size = models.BigIntegerField()  # RFC822.SIZE
    received_at = models.DateTimeField()  # INTERNALDATE
    raw_digest = models.CharField(max_length=64, db_index=True)
    header_digest = models.CharField(max_length=64)
    modseq = models.BigIntegerField(null=True)
    is_complete = models.BooleanField(default=True)
    fetch_requested_at = models.DateTimeField(null=True, blank=True)  # when "Fetch now" was asked for a large message
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
            # Each run queries the places that people asked to fetch; without the index it would scan all places.
            models.Index(fields=["folder"], name="place_wanted", condition=models.Q(fetch_requested_at__isnull=False)),
            models.Index(fields=["gone_at"], name="place_gone", condition=models.Q(gone_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"UID {self.uid} of folder {self.folder_id}"


class Attachment(models.Model):
    """One attachment of a received message. Its bytes are decoded from the raw message on request."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="attachment_rows")
    # Copies of the message's columns, so that an account's attachments by date are read from an index.
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    received_at = models.DateTimeField()
    position = models.PositiveIntegerField()  # index for mime.message.attachment_bytes
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
            # With the size, so that a search for the few very large ones reads the index alone.
            models.Index(
                fields=["-received_at", "-id", "size"],
                name="attachment_large",
                condition=models.Q(size__gte=LARGE_FROM),
            ),
        ]

    def __str__(self) -> str:
        return self.filename
