"""Processes by host, runs of scheduled tasks, table sizes, for the system page and `manage.py status`; and failures of
the database."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailbox.clocks import SLACK


class ProcessHeartbeat(models.Model):
    """Heartbeat of a long-running process, by host and role. Rows without a beat for a day are removed."""

    class Role(models.TextChoices):
        WEB = "web", _("web server")
        WORKERS = "workers", _("workers")
        PUSH = "push", _("push")
        ALERTS = "alerts", _("alerts")
        SUBMISSION = "submission", _("submission")

    host = models.CharField(max_length=200)
    role = models.CharField(max_length=10, choices=Role)
    pid = models.PositiveIntegerField()  # 0: `manage.py alerts` run by cron, a new process each time
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    silent_at = models.DateTimeField()  # without another beat until then, it counts as ended
    release = models.CharField(max_length=30)
    python = models.CharField(max_length=30)
    load = models.FloatField(null=True)  # of the host, over one minute
    processors = models.PositiveSmallIntegerField(default=1)

    class Meta:
        db_table = "process_heartbeats"
        constraints = [models.UniqueConstraint(fields=["host", "role", "pid"], name="process_heartbeat_unique")]

    def __str__(self) -> str:
        return f"{self.role} on {self.host}/{self.pid}"

    def is_alive(self, now: datetime) -> bool:
        """Whether the time by which it promised another beat (`silent_at`) is still ahead; not after a beat of a wrong
        clock."""
        return now < self.silent_at and self.seen_at <= now + SLACK


class DatabaseFailure(models.Model):
    """How often the database failed the processes of a host (mailbox.db.failures). Rows without one for 14 days go."""

    host = models.CharField(max_length=200)
    kind = models.CharField(max_length=12)  # of mailbox.db.failures.KINDS
    number = models.BigIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        db_table = "database_failures"
        constraints = [models.UniqueConstraint(fields=["host", "kind"], name="database_failure_unique")]

    def __str__(self) -> str:
        return f"{self.host}, {self.kind}: {self.number}"


class ScheduleRun(models.Model):
    """The last run of a scheduled task. Kept here, since django-q2 keeps only its newest 200 tasks: some minutes."""

    name = models.CharField(max_length=100, primary_key=True)  # the schedule's name
    started_at = models.DateTimeField()
    seconds = models.FloatField()
    ok = models.BooleanField()
    succeeded_at = models.DateTimeField(null=True)  # of the last run that succeeded

    class Meta:
        db_table = "schedule_runs"

    def __str__(self) -> str:
        return f"{self.name} at {self.started_at:%Y-%m-%d %H:%M}"


class StoreNote(models.Model):
    """A note in the raw store by which an installation says that it uses it (mailbox.storage.installations)."""

    name = models.CharField(max_length=100, unique=True)
    is_ours = models.BooleanField()
    host = models.CharField(max_length=200)  # host and data folder of the process that wrote it
    written_at = models.DateTimeField()

    class Meta:
        db_table = "store_notes"

    def __str__(self) -> str:
        return f"{self.host} at {self.written_at:%Y-%m-%d %H:%M}"

    @classmethod
    def others(cls) -> list[str]:
        """Hosts and data folders of other installations that use the store, as of the last look."""
        return sorted(set(cls.objects.filter(is_ours=False).values_list("host", flat=True)))


class TableSize(models.Model):
    """The size of a table with its indexes on one day."""

    table = models.CharField(max_length=100)
    day = models.DateField()
    size = models.BigIntegerField()  # bytes
    rows = models.BigIntegerField(null=True)  # the database's estimate; None if it has none
    measured_at = models.DateTimeField()

    class Meta:
        db_table = "table_sizes"
        constraints = [models.UniqueConstraint(fields=["table", "day"], name="table_size_unique")]
        indexes = [models.Index(fields=["day"], name="table_size_by_day")]

    def __str__(self) -> str:
        return f"{self.table} on {self.day}: {self.size} bytes"
