"""The leases that keep one sync and one sender an account, across all machines.

Taken and given back by hand: with nothing new to fetch they are a good part of a worker's time.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import OperationalError, connection, models

from mailbox.clocks import SLACK
from mailbox.models.accounts import Account

LONGEST_SECONDS = 3600.0  # no lease is taken for longer: one that ends later was taken by a clock that was ahead
DEADLOCK = "40P01"  # PostgreSQL's SQLSTATE
MOST_DEADLOCKS = 5  # in a row; what was not got then is left to the next round


class Lease(models.Model):
    """The right to be the one sync, the one sender, the one at work in Sent, or the one that listens for news of an
    account, across all machines.

    A worker whose lease is taken because its clock is ahead commits nothing more: it renews the lease by its token in
    each transaction.
    """

    class Purpose(models.TextChoices):
        SYNC = "sync"
        SEND = "send"
        SENT = "sent"  # looking into the Sent folder, or putting a copy there
        PUSH = "push"

    account = models.ForeignKey(Account, models.CASCADE, related_name="leases")
    purpose = models.CharField(max_length=4, choices=Purpose)
    token = models.CharField(max_length=32)
    holder = models.CharField(max_length=200)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "leases"
        constraints = [models.UniqueConstraint(fields=["account", "purpose"], name="lease_one_an_account")]

    def __str__(self) -> str:
        return f"{self.purpose} of account {self.account_id} by {self.holder}"

    @classmethod
    def acquire(
        cls, account_id: int, purpose: str, holder: str, *, seconds: float, now: datetime, token: str = ""
    ) -> str | None:
        """Return a token when the lease was free, had lapsed, or ends later than any can, else None.

        `token`: the one to take it with, for who tries again and cannot know whether the first try was committed.
        """
        token = token or secrets.token_hex(16)
        return token if cls.acquire_all([account_id], purpose, holder, seconds=seconds, now=now, token=token) else None

    @classmethod
    def acquire_all(
        cls, account_ids: Collection[int], purpose: str, holder: str, *, seconds: float, now: datetime, token: str
    ) -> set[int]:
        """acquire() for several accounts: one statement decides. Returns the accounts that we got; what was deleted
        meanwhile is not among them.

        Where the database ended it to end a deadlock, it is made again: nothing of it was written."""
        for _ in range(MOST_DEADLOCKS):
            try:
                return cls._acquire_all(account_ids, purpose, holder, seconds=seconds, now=now, token=token)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", "") != DEADLOCK or connection.in_atomic_block:
                    raise
        return set()

    @classmethod
    def _acquire_all(
        cls, account_ids: Collection[int], purpose: str, holder: str, *, seconds: float, now: datetime, token: str
    ) -> set[int]:
        if not account_ids:
            return set()
        ends = (now, _end(now, seconds), _end(now, LONGEST_SECONDS) + SLACK)
        at, until, latest = map(connection.ops.adapt_datetimefield_value, ends)
        places = ", ".join(["%s"] * len(account_ids))
        with connection.cursor() as cursor:
            cursor.execute(
                f"""INSERT INTO "leases" ("account_id", "purpose", "token", "holder", "expires_at")
                SELECT "id", %s, %s, %s, %s FROM "accounts" WHERE "id" IN ({places})
                ORDER BY "id" ON CONFLICT ("account_id", "purpose") DO UPDATE SET
                "token" = EXCLUDED."token", "holder" = EXCLUDED."holder", "expires_at" = EXCLUDED."expires_at"
                WHERE "leases"."expires_at" <= %s OR "leases"."expires_at" > %s
                OR "leases"."token" = EXCLUDED."token" RETURNING "account_id\"""",  # noqa: S608 - only placeholders
                [str(purpose), token, holder, until, *account_ids, at, latest],
            )
            return {row[0] for row in cursor.fetchall()}

    @classmethod
    def renew(cls, account_id: int, purpose: str, token: str, *, seconds: float, now: datetime) -> bool:
        """Push the end of a lease that is still ours; False when another took it."""
        ours = cls.objects.filter(account_id=account_id, purpose=purpose, token=token)
        return ours.update(expires_at=_end(now, seconds)) == 1

    @classmethod
    def release(cls, account_id: int, purpose: str, token: str) -> bool:
        """Give the lease back; False, and nothing happens, when another has taken it."""
        return bool(cls.release_all([(account_id, token)], purpose))

    @classmethod
    def release_all(cls, held: Sequence[tuple[int, str]], purpose: str) -> set[int]:
        """release() for several accounts with their tokens, by one statement; returns those that were still ours.

        Rows are locked in acquire_all()'s order: a worker that takes what another gives back would lock it out, and be
        locked out by it.
        """
        if not held:
            return set()
        places = ", ".join(["(%s, %s)"] * len(held))
        lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
        with connection.cursor() as cursor:
            cursor.execute(
                f"""DELETE FROM "leases" WHERE "id" IN (SELECT "id" FROM "leases"
                WHERE "purpose" = %s AND ("account_id", "token") IN (VALUES {places}) ORDER BY "account_id" {lock})
                RETURNING "account_id\"""",  # noqa: S608 - only placeholders
                [str(purpose), *(value for pair in sorted(held) for value in pair)],
            )
            return {row[0] for row in cursor.fetchall()}


def _end(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=min(seconds, LONGEST_SECONDS))
