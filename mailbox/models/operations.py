"""What tells how the installation does: counters by the hour and the workers' heartbeats."""

from __future__ import annotations

from datetime import datetime, timedelta
from mailbox.models.accounts import Account

from django.db import models


class Counter(models.Model):
    """How often something happened to an account in one hour."""

    class Name(models.TextChoices):
        SYNC_ATTEMPTS = "sync_attempts"
        SYNC_SUCCESSES = "sync_successes"
        SYNC_FAILURES = "sync_failures"
        MESSAGES_RECEIVED = "messages_received"
        SENDS = "sends"
        SEND_FAILURES = "send_failures"
        RETRIES = "retries"

    account = models.ForeignKey(Account, models.CASCADE, related_name="counters")
    name = models.CharField(max_length=20, choices=Name)
    hour = models.DateTimeField()
    value = models.BigIntegerField(default=0)

    class Meta:
        db_table = "counters"
        constraints = [models.UniqueConstraint(fields=["account", "name", "hour"], name="counter_unique")]
        indexes = [models.Index(fields=["hour", "name"], name="counter_by_hour")]

    def __str__(self) -> str:
        return f"{self.name} at {self.hour:%Y-%m-%d %H}: {self.value}"

    @classmethod
    def add(cls, account_id: int, name: str, now: datetime, amount: int = 1) -> None:
        """Count; an UPDATE that adds, so that two workers never overwrite each other."""
        if amount == 0:
            return
        key = {"account_id": account_id, "name": name, "hour": now.replace(minute=0, second=0, microsecond=0)}
        if not cls.objects.filter(**key).update(value=models.F("value") + amount):
            Counter.objects.bulk_create([Counter(**key)], ignore_conflicts=True)
            cls.objects.filter(**key).update(value=models.F("value") + amount)


class WorkerHeartbeatQuerySet(models.QuerySet["WorkerHeartbeat"]):
    def alive(self, now: datetime) -> WorkerHeartbeatQuerySet:
        """Seen within two ticks of the half-minute clock and some slack."""
        return self.filter(seen_at__gte=now - timedelta(seconds=90))


class WorkerHeartbeat(models.Model):
    """A cluster says that its workers take tasks: written by a task each half minute, read by the dashboard."""

    host = models.CharField(max_length=200)
    cluster_pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    objects = WorkerHeartbeatQuerySet.as_manager()

    class Meta:
        db_table = "worker_heartbeats"
        constraints = [models.UniqueConstraint(fields=["host", "cluster_pid"], name="heartbeat_unique")]

    def __str__(self) -> str:
        return f"{self.host}/{self.cluster_pid}"
