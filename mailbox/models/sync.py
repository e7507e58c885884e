"""Folders, how far each is synced, what is quarantined, and the report of each run."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.clocks import is_over
from mailbox.models.accounts import Account


class FolderQuerySet(models.QuerySet["Folder"]):
    def chosen(self) -> FolderQuerySet:
        """Folders a person wants synced and the server still has."""
        return self.filter(sync_enabled=True, selectable=True, gone_at=None)

    def due(self, now: datetime) -> FolderQuerySet:
        """Chosen folders of syncing accounts outside their backoff window. The scheduler's question."""
        return (
            self.chosen()
            .filter(account__sync_enabled=True)
            .filter(Q(sync_state=None) | Q(sync_state__stopped_at=None))
            .filter(Q(sync_state=None) | is_over("sync_state__next_allowed_at", now))
            .filter(is_over("account__imap__next_allowed_at", now))
        )


class Folder(models.Model):
    """One mailbox of an account as LIST names it, decoded from modified UTF-7 (RFC 3501, 5.1.3)."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="folders")
    name = models.CharField(max_length=500)
    delimiter = models.CharField(max_length=4, blank=True)
    special_use = models.CharField(max_length=20, blank=True)  # RFC 6154, as "\\Sent"
    selectable = models.BooleanField(default=True)
    sync_enabled = models.BooleanField(_("synced"), default=False)
    gone_at = models.DateTimeField(null=True, blank=True)
    is_subscribed = models.BooleanField(null=True)  # None: the server was not asked, or does not say
    # Gmail's labels look like folders (X-GM-EXT-1): what carries this one lies in All Mail, and is fetched there.
    is_label = models.BooleanField(default=False)
    # False: the server writes no modified UTF-7, as RFC 3501, 5.1.3 demands; `name` is what it writes.
    is_name_encoded = models.BooleanField(default=True, db_default=True)
    mailbox_id = models.CharField(max_length=255, blank=True)  # RFC 8474, 4: stays when the folder is renamed
    created_at = models.DateTimeField(auto_now_add=True)

    objects = FolderQuerySet.as_manager()

    class Meta:
        db_table = "folders"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="folder_unique")]

    def __str__(self) -> str:
        return self.name


class SyncState(models.Model):
    """How far a folder is synced. Rows of `messages` and the cursors commit together."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="sync_states")
    folder = models.OneToOneField(Folder, models.CASCADE, related_name="sync_state")
    uidvalidity = models.BigIntegerField(null=True)
    # The highest UID seen: everything from backfill_cursor up to it is stored or quarantined.
    cursor = models.BigIntegerField(default=0)
    # The lowest UID of that stretch; 1 once the backfill has reached the bottom, None before the first batch.
    backfill_cursor = models.BigIntegerField(null=True)
    uidnext = models.BigIntegerField(null=True)
    highestmodseq = models.BigIntegerField(null=True)
    exists = models.BigIntegerField(null=True)
    # When all UIDs and flags were last compared with the server's.
    compared_at = models.DateTimeField(null=True)
    # When flags and expunges were last followed.
    followed_at = models.DateTimeField(null=True)
    # Runs in a row that met another UIDVALIDITY; too many stop the folder until a person lets it go on.
    renumbered_count = models.PositiveSmallIntegerField(default=0)
    stopped_at = models.DateTimeField(null=True)
    # The UIDVALIDITY before the last change, until its places are found again or dropped.
    former_uidvalidity = models.BigIntegerField(null=True)
    # Places of an earlier UIDVALIDITY may be left: true until a walk to the folder's end has settled them.
    former_places = models.BooleanField(default=True)
    # How far up the new UIDs were looked at for messages that are here already; None when there is nothing to look for.
    surveyed_uid = models.BigIntegerField(null=True)
    # UID -> how often a batch that begins with it was begun, and neither stored nor refused in words.
    begun = models.JSONField(default=dict, blank=True)
    # More waits on the server than the last run fetched: due again at once.
    more_waiting = models.BooleanField(default=False)
    # Push heard that something changed, and no run has begun to look since, or one that had was killed.
    news_at = models.DateTimeField(null=True)
    next_allowed_at = models.DateTimeField(null=True)
    failure_count = models.PositiveIntegerField(default=0)
    last_error_code = models.CharField(max_length=40, blank=True)
    last_error = models.TextField(blank=True)
    last_attempt_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "sync_state"
        constraints = [models.UniqueConstraint(fields=["account", "folder"], name="sync_state_unique")]

    def __str__(self) -> str:
        return f"sync state of folder {self.folder_id}"


class SurveyedUid(models.Model):
    """A message under a new UIDVALIDITY that looks, by date and size, like one we hold. Kept until it is settled."""

    folder = models.ForeignKey(Folder, models.CASCADE, related_name="+")
    uidvalidity = models.BigIntegerField()
    uid = models.BigIntegerField()
    received_at = models.DateTimeField()  # INTERNALDATE
    size = models.BigIntegerField()  # RFC822.SIZE

    class Meta:
        db_table = "surveyed_uids"
        verbose_name = "surveyed UID"
        verbose_name_plural = "surveyed UIDs"
        constraints = [models.UniqueConstraint(fields=["folder", "uidvalidity", "uid"], name="surveyed_uid_unique")]
        indexes = [models.Index(fields=["folder", "received_at", "size"], name="surveyed_by_date")]

    def __str__(self) -> str:
        return f"UID {self.uid} of folder {self.folder_id}"


class QuarantineQuerySet(models.QuerySet["Quarantine"]):
    def open(self) -> QuarantineQuerySet:
        return self.filter(resolved_at=None)

    def wanted(self) -> QuarantineQuerySet:
        """Those a person asked to fetch again."""
        return self.open().filter(fetch_requested_at__isnull=False)


class Quarantine(models.Model):
    """A message on the server that could not be fetched, parsed or stored. It never holds up the rest."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="quarantined")
    folder = models.ForeignKey(Folder, models.CASCADE, related_name="quarantined")
    uidvalidity = models.BigIntegerField()
    uid = models.BigIntegerField()
    size = models.BigIntegerField(null=True)
    # From its header, where that came and could be read.
    subject = models.CharField(max_length=300, blank=True, default="", db_default="")
    sender = models.CharField(max_length=300, blank=True, default="", db_default="")
    error = models.TextField()
    attempts = models.PositiveIntegerField(default=1)
    first_failed_at = models.DateTimeField(default=timezone.now)
    last_failed_at = models.DateTimeField(default=timezone.now)
    fetch_requested_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = QuarantineQuerySet.as_manager()

    class Meta:
        db_table = "quarantine"
        verbose_name_plural = _("quarantine")
        ordering = ["-last_failed_at"]
        constraints = [models.UniqueConstraint(fields=["folder", "uidvalidity", "uid"], name="quarantine_unique")]

    def __str__(self) -> str:
        return f"UID {self.uid} of folder {self.folder_id}"


class SyncRun(models.Model):
    """The report of one run: run_id, and how many folders were attempted, succeeded, failed; `unchanged` of those that
    succeeded had nothing new, and have no line of their own unless a person asked for the run."""

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", _("scheduled")
        CLICK = "click", _("Sync now")
        COMMAND = "command", _("command line")
        PUSH = "push", _("push")

    run_id = models.UUIDField(default=uuid.uuid4, unique=True)
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.SCHEDULE)
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(default=timezone.now, db_index=True)
    # The process that runs it says so each few seconds; what has been silent for a minute is ended by another.
    seen_at = models.DateTimeField(default=timezone.now, db_default=Now())
    finished_at = models.DateTimeField(null=True)
    attempted = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0, db_default=0)
    # A scheduled run is shared out to several workers, and ends with the last of them.
    shares_left = models.IntegerField(default=1, db_default=1)

    class Meta:
        db_table = "sync_runs"
        ordering = ["-pk"]
        indexes = [models.Index(fields=["seen_at"], name="sync_run_unfinished", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return str(self.run_id)


class SyncRunFolder(models.Model):
    """One folder's line in the report of a run."""

    run = models.ForeignKey(SyncRun, models.CASCADE, related_name="folders")
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    folder = models.ForeignKey(Folder, models.CASCADE, null=True, related_name="+")
    folder_name = models.CharField(max_length=500)
    ok = models.BooleanField()
    fetched = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    quarantined = models.PositiveIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)
    note = models.TextField(blank=True)  # what happened that is no error: UIDVALIDITY changed, more is waiting
    finished_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "sync_run_folders"
        verbose_name = "run of a folder"
        verbose_name_plural = "runs by folder"
        ordering = ["-pk"]
        indexes = [models.Index(fields=["account", "-id"], name="run_folder_by_account")]

    def __str__(self) -> str:
        return f"{self.folder_name} in run {self.run_id}"
