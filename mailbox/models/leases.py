"""Leases: at most one sync, one sender, one task in Sent and one push connection per account, across all hosts.

acquire and release are raw SQL: when there is nothing new to fetch, they are a good part of a worker's time.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import OperationalError, connection, models

from mailbox.clocks import SLACK
from mailbox.db.deadlocks import MOST_DEADLOCKS, is_deadlock
from mailbox.models.accounts import Account

LONGEST_SECONDS = 3600.0  # of any lease; one that ends later was taken by a host whose clock was ahead


class Lease(models.Model):
    """The exclusive right to one purpose for an account, until a time, under a token, across all hosts.

    A worker renews its lease by the token in each transaction. So a worker that has lost the lease, for example because
    its clock was ahead, commits nothing more.
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
        """Take the lease if it is free, has expired, or ends later than any lease can. Returns its token, else None.

        token: use this one. A caller that tries again, and does not know whether the first try was committed, passes
        the same token.
        """
        token = token or secrets.token_hex(16)
        return token if cls.acquire_all([account_id], purpose, holder, seconds=seconds, now=now, token=token) else None

    @classmethod
    def acquire_all(
        cls, account_ids: Collection[int], purpose: str, holder: str, *, seconds: float, now: datetime, token: str
    ) -> set[int]:
        """acquire() for several accounts by one statement. Returns the pks of those acquired; deleted accounts are not
        among them.

        Repeated if the database aborts it to resolve a deadlock, as nothing was written then. Inside a caller's
        transaction the OperationalError is raised instead.
        """
        for _ in range(MOST_DEADLOCKS):
            try:
                return cls._acquire_all(account_ids, purpose, holder, seconds=seconds, now=now, token=token)
            except OperationalError as error:
                if not is_deadlock(error) or connection.in_atomic_block:
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
        """Extend the lease. Returns False if it has another token, or is gone."""
        ours = cls.objects.filter(account_id=account_id, purpose=purpose, token=token)
        return ours.update(expires_at=_end(now, seconds)) == 1

    @classmethod
    def release(cls, account_id: int, purpose: str, token: str) -> bool:
        """Release the lease. Returns False, and changes nothing, if it has another token, or is gone."""
        return bool(cls.release_all([(account_id, token)], purpose))

    @classmethod
    def release_all(cls, held: Sequence[tuple[int, str]], purpose: str) -> set[int]:
        """release() for several (account pk, token) by one statement. Returns the pks of those released.

        Rows are locked in the same order as in acquire_all(), so that the two do not deadlock.
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
