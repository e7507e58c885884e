"""What tells how the installation does: counters by the hour and the workers' heartbeats."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from mailbox.models.accounts import Account
from mailbox.models.leases import Lease


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
        """Count; one statement that inserts or adds, so that two workers never overwrite each other."""
        cls.add_all(account_id, {cls.Name(name): amount}, now)

    @classmethod
    def add_all(cls, account_id: int, amounts: Mapping[Counter.Name, int], now: datetime) -> None:
        """Likewise, several by one statement."""
        cls.add_each({(account_id, str(name)): amount for name, amount in amounts.items()}, now)

    @classmethod
    def add_each(cls, amounts: Mapping[tuple[int, str], int], now: datetime) -> None:
        """Likewise, by account and name."""
        hour = connection.ops.adapt_datetimefield_value(now.replace(minute=0, second=0, microsecond=0))
        rows = [[pk, str(name), hour, amount] for (pk, name), amount in amounts.items() if amount]
        if not rows:
            return
        places = ", ".join(["(%s, %s, %s, %s)"] * len(rows))
        with connection.cursor() as cursor:
            cursor.execute(
                f"""INSERT INTO "counters" ("account_id", "name", "hour", "value") VALUES {places}
                ON CONFLICT ("account_id", "name", "hour") DO UPDATE
                SET "value" = "counters"."value" + EXCLUDED."value\"""",  # noqa: S608 - only placeholders are put in
                [value for row in rows for value in row],
            )


DISK_FREE_PERCENT = 10  # less is said, on the dashboard and by alerts
WORKER_SILENT_AFTER = timedelta(seconds=90)  # two ticks of the half-minute clock and some slack


class WorkerHeartbeatQuerySet(models.QuerySet["WorkerHeartbeat"]):
    def alive(self, now: datetime) -> WorkerHeartbeatQuerySet:
        return self.filter(seen_at__gte=now - WORKER_SILENT_AFTER)

    def without_broker(self, now: datetime) -> WorkerHeartbeatQuerySet:
        """Alive, and could not reach the broker (Redis): tasks go by way of the database."""
        return self.alive(now).filter(broker_away_since__isnull=False)

    def without_store(self, now: datetime) -> WorkerHeartbeatQuerySet:
        """Alive, and could not write and read the raw store: they take no sync and no delivery."""
        return self.alive(now).filter(store_failed_since__isnull=False)


class WorkerHeartbeat(models.Model):
    """A cluster says that its workers take tasks: written by a task each half minute, read by the dashboard."""

    host = models.CharField(max_length=200)
    cluster_pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    # Of the disk with the data folder, as its user may use it.
    disk_free_percent = models.PositiveSmallIntegerField(null=True)
    broker_away_since = models.DateTimeField(null=True)
    store_failed_since = models.DateTimeField(null=True)
    # What a look at the raw store took (to write, read and remove a small file), and how many looks failed since the
    # cluster began.
    store_seconds = models.FloatField(null=True)
    store_failures = models.PositiveIntegerField(default=0, db_default=0)
    fetching_stopped_since = models.DateTimeField(null=True)  # its disk has less free than the reserve

    objects = WorkerHeartbeatQuerySet.as_manager()

    class Meta:
        db_table = "worker_heartbeats"
        constraints = [models.UniqueConstraint(fields=["host", "cluster_pid"], name="heartbeat_unique")]

    def __str__(self) -> str:
        return f"{self.host}/{self.cluster_pid}"

    @staticmethod
    def is_recent(seen_at: datetime, now: datetime) -> bool:
        return seen_at >= now - WORKER_SILENT_AFTER


class StoreMiss(models.Model):
    """A host that was asked for a stored file and did not have it, lately: another host may. A row a host."""

    KEPT = timedelta(minutes=15)

    host = models.CharField(max_length=200, unique=True)
    file = models.CharField(max_length=200)  # of the raw store, as the database names it
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = "store_misses"
        verbose_name_plural = "store misses"

    def __str__(self) -> str:
        return f"{self.host} lacks {self.file}"

    @classmethod
    def note(cls, host: str, file: str, now: datetime) -> None:
        says = {"file": file[:200], "last_at": now}
        cls.objects.filter(host=host, last_at__lt=now - cls.KEPT).delete()
        cls.objects.update_or_create(host=host[:200], defaults=says, create_defaults={**says, "first_at": now})


class PushHeartbeatQuerySet(models.QuerySet["PushHeartbeat"]):
    def seen_within(self, time: timedelta, now: datetime) -> PushHeartbeatQuerySet:
        """Processes that said so lately and have not let go; none by a clock that was ahead."""
        return self.exclude(token="").filter(seen_at__range=(now - time, now + time))

    def listening(self, now: datetime) -> PushHeartbeatQuerySet:
        """Those among which the accounts are divided."""
        return self.seen_within(PushHeartbeat.LEASE, now)

    def alive(self, now: datetime) -> PushHeartbeatQuerySet:
        return self.seen_within(PushHeartbeat.SILENT_AFTER, now).order_by("host", "pid")


class PushHeartbeat(models.Model):
    """A process that listens for news, and how the connection of each account of its share does."""

    # Of its accounts (Lease.Purpose.PUSH, by its token), and of its place among the others.
    LEASE = timedelta(seconds=20)
    SILENT_AFTER = timedelta(seconds=60)  # is said then
    HEARD_WITHIN = timedelta(seconds=30)  # it beats each six seconds; accounts of one that is silent are polled

    token = models.CharField(max_length=32)  # "": it has let go
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    # pk of an account, as text -> a value of mailbox.push.watcher.State.
    states = models.JSONField(default=dict)

    objects = PushHeartbeatQuerySet.as_manager()

    class Meta:
        db_table = "push_heartbeats"

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}"

    @classmethod
    def beat(cls, token: str, host: str, pid: int, states: Mapping[str, str], now: datetime) -> None:
        """Say that we listen."""
        says = {"seen_at": now, "states": dict(states)}
        if not cls.objects.filter(token=token).update(**says):
            cls.objects.create(token=token, host=host, pid=pid, started_at=now, **says)

    @classmethod
    def connected(cls, now: datetime) -> set[int]:
        """The accounts of which news are heard at this time; none of a process that is silent."""
        found = cls.objects.seen_within(cls.HEARD_WITHIN, now).values_list("states", flat=True)
        return {int(pk) for states in found for pk, state in states.items() if state == "connected"}

    @classmethod
    def fell_silent(cls, now: datetime) -> bool:
        """Whether one was heard of within a minute, and is not any more."""
        silent = cls.objects.filter(seen_at__range=(now - 2 * cls.HEARD_WITHIN, now - cls.HEARD_WITHIN))
        return silent.exclude(token="").exists()

    @classmethod
    def release(cls, token: str) -> None:
        """Let other processes have the accounts of this one at once."""
        Lease.objects.filter(purpose=Lease.Purpose.PUSH, token=token).delete()
        cls.objects.filter(token=token).update(token="", states={})


class DeletionLook(models.Model):
    """When it was last looked what may be removed because of its age, by both clocks (see mailbox.deletions)."""

    name = models.CharField(max_length=40, primary_key=True)
    host_at = models.DateTimeField()
    database_at = models.DateTimeField()

    class Meta:
        db_table = "deletion_looks"

    def __str__(self) -> str:
        return self.name


class StorageUse(models.Model):
    """How much is kept, counted by the clock: summing a million rows is nothing a page should wait for."""

    class Kind(models.TextChoices):
        RECEIVED = "received", _("Received mail")
        RECEIVED_FILES = "received_files", _("Attachments in received mail")
        SENT = "sent", _("Written mail")
        SENT_FILES = "sent_files", _("Attachments in written mail")
        ON_DISK = "on_disk", _("Raw store, on disk")  # of no account: equal bytes are kept once for all

    account = models.ForeignKey(Account, models.CASCADE, null=True, related_name="+")
    kind = models.CharField(max_length=14, choices=Kind)
    items = models.BigIntegerField(default=0)
    size = models.BigIntegerField(default=0)  # bytes
    counted_at = models.DateTimeField()

    class Meta:
        db_table = "storage_use"
        constraints = [models.UniqueConstraint(fields=["account", "kind"], name="storage_use_unique")]
        verbose_name_plural = _("storage use")

    def __str__(self) -> str:
        return f"{self.kind}: {self.size} bytes"


class RestoreProof(models.Model):
    """A backup was restored into a scratch database and looked through: what came of it. The newest fifty are kept."""

    KEPT = 50
    STALE_AFTER = timedelta(days=7)

    proven_at = models.DateTimeField(db_index=True)
    backup_at = models.DateTimeField(null=True)  # None: its manifest cannot be read
    messages = models.BigIntegerField(default=0)  # whose bytes were read and compared with their digest
    missing = models.BigIntegerField(default=0)  # messages whose bytes are not there, or others
    fault = models.CharField(max_length=30, blank=True)  # the name of what was wrong; "": the restore is proven
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "restore_proofs"

    def __str__(self) -> str:
        return f"{self.fault or 'proven'} at {self.proven_at:%Y-%m-%d %H:%M}"

    @classmethod
    def note(cls, proof: RestoreProof) -> None:
        """Keep it, and forget what is old."""
        proof.save()
        kept = cls.objects.order_by("-pk").values_list("pk", flat=True)[: cls.KEPT]
        cls.objects.filter(pk__lt=min(kept)).delete()
