"""Folders, the sync state of each, quarantined messages, and the report of each run."""

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
    """States of folders, as conditions of a query."""

    def chosen(self) -> FolderQuerySet:
        """Folders that a person chose for sync and that the server still has."""
        return self.filter(sync_enabled=True, selectable=True, gone_at=None)

    def holding_inbox(self) -> FolderQuerySet:
        """Folders in which the mail of INBOX is: INBOX, and one with all mail of the account, as Gmail has it."""
        return self.filter(Q(name="INBOX") | Q(special_use="\\All"))

    def due(self, now: datetime) -> FolderQuerySet:
        """Chosen folders of syncing accounts that are not in a backoff and not stopped. Used by the scheduler."""
        return (
            self.chosen()
            .filter(account__sync_enabled=True)
            .filter(Q(sync_state=None) | Q(sync_state__stopped_at=None))
            .filter(Q(sync_state=None) | is_over("sync_state__next_allowed_at", now))
            .filter(is_over("account__imap__next_allowed_at", now))
        )


class Folder(models.Model):
    """One IMAP mailbox of an account. name: as in LIST, decoded from modified UTF-7 (RFC 3501, 5.1.3)."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="folders")
    name = models.CharField(max_length=500)
    delimiter = models.CharField(max_length=4, blank=True)
    special_use = models.CharField(max_length=20, blank=True)  # RFC 6154, as "\\Sent"
    selectable = models.BooleanField(default=True)
    sync_enabled = models.BooleanField(_("synced"), default=False)
    gone_at = models.DateTimeField(null=True, blank=True)
    is_subscribed = models.BooleanField(null=True)  # None: the server was not asked, or does not state it
    # Gmail lists its labels as folders (X-GM-EXT-1). Messages with this label are in All Mail and are fetched there.
    is_label = models.BooleanField(default=False)
    # False: the server's name is not the modified UTF-7 that RFC 3501, 5.1.3 requires.
    is_name_encoded = models.BooleanField(default=True, db_default=True)
    mailbox_id = models.CharField(max_length=255, blank=True)  # RFC 8474, 4: kept when the folder is renamed
    created_at = models.DateTimeField(auto_now_add=True)

    objects = FolderQuerySet.as_manager()

    class Meta:
        db_table = "folders"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="folder_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def holds_inbox(self) -> bool:
        """As FolderQuerySet.holding_inbox, of this row."""
        return self.name == "INBOX" or self.special_use == "\\All"


class SyncState(models.Model):
    """The sync state of a folder. Its cursors commit together with the rows of the messages."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="sync_states")
    folder = models.OneToOneField(Folder, models.CASCADE, related_name="sync_state")
    uidvalidity = models.BigIntegerField(null=True)
    # The highest UID of the stretch: all UIDs from backfill_cursor up to it are stored, quarantined or gone.
    cursor = models.BigIntegerField(default=0)
    # The lowest UID of the stretch; 1 when the backfill is complete, None before the first batch.
    backfill_cursor = models.BigIntegerField(null=True)
    uidnext = models.BigIntegerField(null=True)
    highestmodseq = models.BigIntegerField(null=True)
    exists = models.BigIntegerField(null=True)
    # When all UIDs and flags were last compared with the server's.
    compared_at = models.DateTimeField(null=True)
    # When changes of flags and expunges were last fetched.
    followed_at = models.DateTimeField(null=True)
    # Consecutive runs that found another UIDVALIDITY. Too many stop the folder until a person resumes it.
    renumbered_count = models.PositiveSmallIntegerField(default=0)
    stopped_at = models.DateTimeField(null=True)
    # The UIDVALIDITY before its last change, until places with it are matched with new UIDs or dropped.
    former_uidvalidity = models.BigIntegerField(null=True)
    # Whether places with an earlier UIDVALIDITY may be left, until a walk to the folder's end has settled them.
    former_places = models.BooleanField(default=True)
    # After a change of UIDVALIDITY: the UID up to which the new UIDs were compared with stored messages. None when
    # there is nothing to compare.
    surveyed_uid = models.BigIntegerField(null=True)
    # UID -> how often a batch that begins with it was begun without being stored or refused by the server.
    begun = models.JSONField(default=dict, blank=True)
    # The last run did not fetch all that is on the server; the folder is due again at once.
    more_waiting = models.BooleanField(default=False)
    # When push reported a change that no run has begun to fetch since (or such a run was killed).
    news_at = models.DateTimeField(null=True)
    next_allowed_at = models.DateTimeField(null=True)
    failure_count = models.PositiveIntegerField(default=0)
    last_error_code = models.CharField(max_length=40, blank=True)
    last_error = models.TextField(blank=True)
    last_attempt_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)

    has_asked = False  # whether somebody asked for single messages; no column: mailbox.sync.state_rows reads it

    class Meta:
        db_table = "sync_state"
        constraints = [models.UniqueConstraint(fields=["account", "folder"], name="sync_state_unique")]

    def __str__(self) -> str:
        return f"sync state of folder {self.folder_id}"


class SurveyedUid(models.Model):
    """A message under a new UIDVALIDITY with date and size of a stored one. Kept until it is matched or ruled out."""

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
    """States of quarantined messages, as conditions of a query."""

    def open(self) -> QuarantineQuerySet:
        """Messages that could not be stored or parsed, and still are not."""
        return self.filter(resolved_at=None)

    def wanted(self) -> QuarantineQuerySet:
        """Open ones that a person asked to fetch again."""
        return self.open().filter(fetch_requested_at__isnull=False)


class Quarantine(models.Model):
    """A message on the server that could not be fetched, parsed or stored. It does not stop the folder's sync."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="quarantined")
    folder = models.ForeignKey(Folder, models.CASCADE, related_name="quarantined")
    uidvalidity = models.BigIntegerField()
    uid = models.BigIntegerField()
    size = models.BigIntegerField(null=True)
    # From its header; "" if that was not fetched or cannot be read.
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
    """The report of one run, with the numbers of folders attempted, succeeded and failed.

    unchanged: succeeded folders without news; they have no SyncRunFolder unless a person asked for the run.
    """

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", _("scheduled")
        CLICK = "click", _("Sync now")
        COMMAND = "command", _("command line")
        PUSH = "push", _("push")

    run_id = models.UUIDField(default=uuid.uuid4, unique=True)
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.SCHEDULE)
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(default=timezone.now, db_index=True)
    # Heartbeat of the process that runs it, every few seconds. After a minute without one, another process ends the
    # run.
    seen_at = models.DateTimeField(default=timezone.now, db_default=Now())
    finished_at = models.DateTimeField(null=True)
    attempted = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0, db_default=0)
    # A scheduled run is divided into shares for several workers, and ends with the last share.
    shares_left = models.IntegerField(default=1, db_default=1)

    class Meta:
        db_table = "sync_runs"
        ordering = ["-pk"]
        indexes = [models.Index(fields=["seen_at"], name="sync_run_unfinished", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return str(self.run_id)


class SyncRunFolder(models.Model):
    """One folder in the report of a run."""

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
    note = models.TextField(blank=True)  # an event that is no error: UIDVALIDITY changed, more is waiting
    finished_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "sync_run_folders"
        verbose_name = "run of a folder"
        verbose_name_plural = "runs by folder"
        ordering = ["-pk"]
        indexes = [models.Index(fields=["account", "-id"], name="run_folder_by_account")]

    def __str__(self) -> str:
        return f"{self.folder_name} in run {self.run_id}"
