"""The installation's health: hourly counters, heartbeats of workers and push processes, storage use, restore proofs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from mailbox.models.accounts import Account
from mailbox.models.leases import Lease


class Counter(models.Model):
    """The number of events of one kind of an account in one hour."""

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
        """Add to a counter by one statement (upsert), so that two workers do not overwrite each other."""
        cls.add_all(account_id, {cls.Name(name): amount}, now)

    @classmethod
    def add_all(cls, account_id: int, amounts: Mapping[Counter.Name, int], now: datetime) -> None:
        """Add to several counters of an account by one statement. amounts: by name."""
        cls.add_each({(account_id, str(name)): amount for name, amount in amounts.items()}, now)

    @classmethod
    def add_each(cls, amounts: Mapping[tuple[int, str], int], now: datetime) -> None:
        """Add to counters of several accounts by one statement. amounts: by account pk and name."""
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


DISK_FREE_PERCENT = 10  # less is reported by dashboard and alerts
WORKER_SILENT_AFTER = timedelta(seconds=90)  # two periods of the half-minute schedule, and some slack


class WorkerHeartbeatQuerySet(models.QuerySet["WorkerHeartbeat"]):
    """States of the workers' clusters, as conditions of a query."""

    def alive(self, now: datetime) -> WorkerHeartbeatQuerySet:
        """Clusters with a beat within WORKER_SILENT_AFTER. One further ahead was written by a wrong clock, and says
        nothing: the cluster may have died since."""
        return self.not_ahead(now).filter(seen_at__gte=now - WORKER_SILENT_AFTER)

    def not_ahead(self, now: datetime) -> WorkerHeartbeatQuerySet:
        """Without beats of a wrong clock: those that tell when a worker was last seen."""
        return self.filter(seen_at__lte=now + WORKER_SILENT_AFTER)

    def without_broker(self, now: datetime) -> WorkerHeartbeatQuerySet:
        """Live clusters that cannot reach the broker (Redis); their tasks are queued in the database."""
        return self.alive(now).filter(broker_away_since__isnull=False)

    def without_store(self, now: datetime) -> WorkerHeartbeatQuerySet:
        """Live clusters that cannot write and read the raw store; they take no syncs and no deliveries."""
        return self.alive(now).filter(store_failed_since__isnull=False)


class WorkerHeartbeat(models.Model):
    """Heartbeat of a django-q2 cluster, which shows that its workers take tasks. A task writes it each half minute."""

    host = models.CharField(max_length=200)
    cluster_pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    # Free space for this process on the disk with the data folder.
    disk_free_percent = models.PositiveSmallIntegerField(null=True)
    store_disk_free_percent = models.PositiveSmallIntegerField(
        null=True
    )  # likewise, with the raw store; None: no folder
    database_seconds = models.FloatField(null=True)  # how long the database took to answer a small question
    broker_away_since = models.DateTimeField(null=True)
    store_failed_since = models.DateTimeField(null=True)
    # How long a check of the raw store took (to write, read and remove a small file), and how many checks have failed
    # since the cluster started.
    store_seconds = models.FloatField(null=True)
    store_failures = models.PositiveIntegerField(default=0, db_default=0)
    fetching_stopped_since = models.DateTimeField(null=True)  # since its disk has less free than the reserve

    objects = WorkerHeartbeatQuerySet.as_manager()

    class Meta:
        db_table = "worker_heartbeats"
        constraints = [models.UniqueConstraint(fields=["host", "cluster_pid"], name="heartbeat_unique")]

    def __str__(self) -> str:
        return f"{self.host}/{self.cluster_pid}"

    @property
    def least_free_percent(self) -> int | None:
        """Of the disks with the data folder and with the raw store, the fuller one's free space; None if unknown."""
        known = (self.disk_free_percent, self.store_disk_free_percent)
        return min((free for free in known if free is not None), default=None)

    @staticmethod
    def is_recent(seen_at: datetime, now: datetime) -> bool:
        """Whether a beat at this time means that the cluster is alive, as `alive` does for a query."""
        return abs(now - seen_at) <= WORKER_SILENT_AFTER


class StoreMiss(models.Model):
    """A host that lately could not read a stored file, which another host may have. One row per host."""

    KEPT = timedelta(minutes=15)

    host = models.CharField(max_length=200, unique=True)
    file = models.CharField(max_length=200)  # the segment's name in the raw store
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = "store_misses"
        verbose_name_plural = "store misses"

    def __str__(self) -> str:
        return f"{self.host} lacks {self.file}"

    @classmethod
    def note(cls, host: str, file: str, now: datetime) -> None:
        """Record that the host lacks the file; the row begins anew when the last miss is older than KEPT."""
        says = {"file": file[:200], "last_at": now}
        cls.objects.filter(host=host, last_at__lt=now - cls.KEPT).delete()
        cls.objects.update_or_create(host=host[:200], defaults=says, create_defaults={**says, "first_at": now})


class PushHeartbeatQuerySet(models.QuerySet["PushHeartbeat"]):
    """States of the push processes, as conditions of a query."""

    def seen_within(self, time: timedelta, now: datetime) -> PushHeartbeatQuerySet:
        """Processes with a beat within `time` that have not stopped. A beat in the future, by a wrong clock, does not
        count if it is further ahead than that."""
        return self.exclude(token="").filter(seen_at__range=(now - time, now + time))

    def listening(self, now: datetime) -> PushHeartbeatQuerySet:
        """The processes among which the accounts are divided."""
        return self.seen_within(PushHeartbeat.LEASE, now)

    def alive(self, now: datetime) -> PushHeartbeatQuerySet:
        """Processes with a beat within SILENT_AFTER; longer silence is reported."""
        return self.seen_within(PushHeartbeat.SILENT_AFTER, now).order_by("host", "pid")


class PushHeartbeat(models.Model):
    """Heartbeat of a push process, with the state of the connection of each of its accounts."""

    # How long its leases on accounts (Lease.Purpose.PUSH, by its token) and its own share in the division are valid.
    LEASE = timedelta(seconds=20)
    SILENT_AFTER = timedelta(seconds=60)  # after which silence is reported
    HEARD_WITHIN = timedelta(seconds=30)  # it beats every 6 s; accounts of a silent process are polled

    token = models.CharField(max_length=32)  # "": it has stopped
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
        """Save this process's heartbeat. states: account pk as text -> State."""
        says = {"seen_at": now, "states": dict(states)}
        if not cls.objects.filter(token=token).update(**says):
            cls.objects.create(token=token, host=host, pid=pid, started_at=now, **says)

    @classmethod
    def connected(cls, now: datetime) -> set[int]:
        """The pks of accounts with a push connection at this time. Those of a silent process are left out."""
        found = cls.objects.seen_within(cls.HEARD_WITHIN, now).values_list("states", flat=True)
        return {int(pk) for states in found for pk, state in states.items() if state == "connected"}

    @classmethod
    def fell_silent(cls, now: datetime) -> bool:
        """Whether a process has fallen silent within the last minute."""
        silent = cls.objects.filter(seen_at__range=(now - 2 * cls.HEARD_WITHIN, now - cls.HEARD_WITHIN))
        return silent.exclude(token="").exists()

    @classmethod
    def release(cls, token: str) -> None:
        """Release this process's accounts, so that other processes can take them at once."""
        Lease.objects.filter(purpose=Lease.Purpose.PUSH, token=token).delete()
        cls.objects.filter(token=token).update(token="", states={})


class DeletionLook(models.Model):
    """Time of the last check for data that may be removed by age, by two clocks (see mailbox.deletions)."""

    name = models.CharField(max_length=40, primary_key=True)
    host_at = models.DateTimeField()
    database_at = models.DateTimeField()

    class Meta:
        db_table = "deletion_looks"

    def __str__(self) -> str:
        return self.name


class StorageUse(models.Model):
    """Amount of stored mail. Counted by a scheduled task, as a page should not wait for a sum over a million rows."""

    class Kind(models.TextChoices):
        RECEIVED = "received", _("Received mail")
        RECEIVED_FILES = "received_files", _("Attachments in received mail")
        SENT = "sent", _("Written mail")
        SENT_FILES = "sent_files", _("Attachments in written mail")
        ON_DISK = "on_disk", _("Raw store, on disk")  # not by account, as equal bytes are stored once for all

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
    """The result of restoring a backup into a scratch database and checking it. The newest KEPT rows are kept."""

    KEPT = 50
    STALE_AFTER = timedelta(days=7)

    proven_at = models.DateTimeField(db_index=True)
    backup_at = models.DateTimeField(null=True)  # None: the backup's manifest cannot be read
    messages = models.BigIntegerField(default=0)  # messages whose bytes were read and compared with their digest
    missing = models.BigIntegerField(default=0)  # messages whose bytes are missing or differ
    fault = models.CharField(max_length=30, blank=True)  # name of the fault; "": the restore is proven
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "restore_proofs"

    def __str__(self) -> str:
        return f"{self.fault or 'proven'} at {self.proven_at:%Y-%m-%d %H:%M}"

    @classmethod
    def note(cls, proof: RestoreProof) -> None:
        """Save the proof, and delete old ones."""
        proof.save()
        kept = cls.objects.order_by("-pk").values_list("pk", flat=True)[: cls.KEPT]
        cls.objects.filter(pk__lt=min(kept)).delete()
