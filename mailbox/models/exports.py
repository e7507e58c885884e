"""Exports of mail as one file: their selection, progress and pieces."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ExportQuerySet(models.QuerySet["Export"]):
    """States of exports, as conditions of a query."""

    def unfinished(self) -> ExportQuerySet:
        """Exports that are being written or wait for a worker."""
        return self.filter(finished_at=None)

    def over(self, now: datetime) -> ExportQuerySet:
        """Exports whose time for download has ended."""
        return self.filter(ends_at__lte=now)


EVERYWHERE = 0


class Export(models.Model):
    """One export. Its file is written in pieces, and `parts` increases in the transaction that adds a piece.

    So each mail is in the file exactly once, even if a worker is killed or two run at once.
    """

    class What(models.TextChoices):
        SEARCH = "search", _("Messages")
        PERSON = "person", _("A person")
        LIST = "list", _("A list")

    class Form(models.TextChoices):
        ZIP = "zip", _("zip of .eml files")
        MBOX = "mbox", _("mbox")
        CSV = "csv", _("CSV")  # of a list alone

    MAIL_FORMS = (Form.ZIP, Form.MBOX)

    key = models.UUIDField(default=uuid.uuid4, unique=True)  # made with the form, which sent twice is one export
    what = models.CharField(max_length=6, choices=What, default=What.SEARCH)
    form = models.CharField(max_length=4, choices=Form)
    user = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    # The selection, as the query string of the list's URL; for a person the address; for a list "list=NAME&…".
    query = models.TextField(blank=True)
    asked_at = models.DateTimeField(default=timezone.now)
    moved_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)  # from then on it cannot be downloaded; the row is removed
    total = models.PositiveBigIntegerField(null=True)  # mails or lines; None before they are counted
    done = models.PositiveBigIntegerField(default=0)
    missing = models.PositiveBigIntegerField(default=0)  # mails whose bytes the raw store lacks
    size = models.PositiveBigIntegerField(default=0)  # bytes of the file so far
    parts = models.PositiveIntegerField(default=0)
    after = models.JSONField(null=True)  # position from which the next piece continues
    # Pks of accounts whose mail is in the file; 0: also what only an administrator of all accounts may see.
    accounts = models.JSONField(default=list)
    error = models.TextField(blank=True)  # why it waits; if finished, why there is no file

    objects = ExportQuerySet.as_manager()

    class Meta:
        db_table = "exports"
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["moved_at"], name="export_unfinished", condition=Q(finished_at=None)),
            models.Index(fields=["ends_at"], name="export_ends"),
        ]

    def __str__(self) -> str:
        return f"export {self.pk}"


class ExportPart(models.Model):
    """A piece of the file, whose bytes are in the raw store, and its mails' entries for manifest and zip directory."""

    export = models.ForeignKey(Export, models.CASCADE, related_name="pieces")
    position = models.PositiveIntegerField()
    raw_digest = models.CharField(max_length=64, db_index=True)
    length = models.BigIntegerField()
    lines = models.JSONField(default=list)  # of the manifest
    entries = models.JSONField(default=list)  # of the zip's directory

    class Meta:
        db_table = "export_parts"
        constraints = [models.UniqueConstraint(fields=["export", "position"], name="export_part_unique")]

    def __str__(self) -> str:
        return f"piece {self.position} of export {self.export_id}"
