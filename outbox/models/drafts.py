"""Drafts with their files, and the addresses for completion."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account, AccountAlias
from outbox.models.policy import Singleton


class Draft(models.Model):
    """A draft of one person: the values of the form as typed, valid or not.

    `version` goes up with each save, so that two tabs do not overwrite each other. `page` is the key of the page that
    saved last and `page_save` the page's number for that save, as the saves of a page may arrive in another order.
    """

    key = models.UUIDField(default=uuid.uuid4, unique=True)  # made with the page, so that its first save makes one row
    user = models.ForeignKey("auth.User", models.CASCADE, related_name="drafts")
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    alias = models.ForeignKey(AccountAlias, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False)
    start = models.CharField(max_length=40, blank=True)  # the mail that it replies to or continues: "reply_to=7"
    to = models.TextField(blank=True)
    cc = models.TextField(blank=True)
    bcc = models.TextField(blank=True)
    subject = models.TextField(blank=True)
    body_text = models.TextField(blank=True)
    text_format = models.CharField(max_length=10, blank=True, default="", db_default="")  # outbox.compose.text_formats
    send_at = models.CharField(max_length=40, blank=True)
    kept = models.JSONField(null=True, blank=True)  # the form values of ticked files; None: the form's defaults
    # Uploads that the policy refused and that the writer has not left out yet.
    refused = models.JSONField(default=list, db_default=[], blank=True)
    version = models.PositiveIntegerField(default=1)
    page = models.CharField(max_length=40, blank=True, default="", db_default="")
    page_save = models.PositiveIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "drafts"
        indexes = [models.Index(fields=["user", "-updated_at"], name="draft_newest_of_user")]

    def __str__(self) -> str:
        return self.subject or "(no subject yet)"


class DraftFile(models.Model):
    """A file attached to a draft; its bytes are in the raw store."""

    draft = models.ForeignKey(Draft, models.CASCADE, related_name="files")
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=255)
    size = models.BigIntegerField()  # bytes
    raw_digest = models.CharField(max_length=64, db_index=True)

    class Meta:
        db_table = "draft_files"
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.filename

    @property
    def form_key(self) -> str:
        """The value of this file in the form's field `kept`."""
        return f"draft-{self.pk}"


class KnownAddress(models.Model):
    """An address of the account's received or sent mail, once for each account. A scheduled task gathers them."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    address = models.CharField(max_length=320)  # lower case
    name = models.CharField(max_length=200, blank=True)  # as last seen
    name_key = models.CharField(max_length=200, blank=True)  # lower case
    last_at = models.DateTimeField()

    class Meta:
        db_table = "known_addresses"
        verbose_name_plural = _("known addresses")
        constraints = [models.UniqueConstraint(fields=["account", "address"], name="known_address_unique")]
        indexes = [
            # The operator class lets PostgreSQL search by prefix in any collation; SQLite needs none.
            models.Index(fields=["address"], name="known_by_address", opclasses=["varchar_pattern_ops"]),
            models.Index(fields=["name_key"], name="known_by_name", opclasses=["varchar_pattern_ops"]),
        ]

    def __str__(self) -> str:
        return self.address


class AddressCursor(Singleton):
    """The pks of the last message and the last outbox row whose addresses were gathered."""

    message_id = models.BigIntegerField(default=0)
    outbox_id = models.BigIntegerField(default=0)

    class Meta:
        db_table = "address_cursor"

    def __str__(self) -> str:
        return f"up to message {self.message_id} and outbox {self.outbox_id}"
