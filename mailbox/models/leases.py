"""The leases that keep one sync and one sender an account, across all machines.

Taken and given back by hand: with nothing new to fetch they are a good part of a worker's time.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.db import connection, models

from mailbox.clocks import SLACK
from mailbox.models.accounts import Account

LONGEST_SECONDS = 3600.0  # no lease is taken for longer: one that ends later was taken by a clock that was ahead


class Lease(models.Model):
    """The right to be the one sync, the one sender, or the one at work in Sent of an account, across all machines.

    A worker whose lease is taken because its clock is ahead commits nothing more: it renews the lease by its token in
    each transaction.
    """

    class Purpose(models.TextChoices):
        SYNC = "sync"
        SEND = "send"
        SENT = "sent"  # looking into the Sent folder, or putting a copy there

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
        """Return a token when the lease was free, had lapsed, or ends later than any can, else None. One statement
        decides.

        `token`: the one to take it with, for who tries again and cannot know whether the first try was committed.
        """
        token = token or secrets.token_hex(16)
        ends = (now, _end(now, seconds), _end(now, LONGEST_SECONDS) + SLACK)
        at, until, latest = map(connection.ops.adapt_datetimefield_value, ends)
        with connection.cursor() as cursor:
            cursor.execute(
                """INSERT INTO "leases" ("account_id", "purpose", "token", "holder", "expires_at")
                VALUES (%s, %s, %s, %s, %s) ON CONFLICT ("account_id", "purpose") DO UPDATE SET
                "token" = EXCLUDED."token", "holder" = EXCLUDED."holder", "expires_at" = EXCLUDED."expires_at"
                WHERE "leases"."expires_at" <= %s OR "leases"."expires_at" > %s
                OR "leases"."token" = EXCLUDED."token\"""",
                [account_id, str(purpose), token, holder, until, at, latest],
            )
            return token if cursor.rowcount == 1 else None

    @classmethod
    def renew(cls, account_id: int, purpose: str, token: str, *, seconds: float, now: datetime) -> bool:
        """Push the end of a lease that is still ours; False when another took it."""
        ours = cls.objects.filter(account_id=account_id, purpose=purpose, token=token)
        return ours.update(expires_at=_end(now, seconds)) == 1

    @classmethod
    def release(cls, account_id: int, purpose: str, token: str) -> bool:
        """Give the lease back; False, and nothing happens, when another has taken it."""
        with connection.cursor() as cursor:
            cursor.execute(
                'DELETE FROM "leases" WHERE "account_id" = %s AND "purpose" = %s AND "token" = %s',
                [account_id, str(purpose), token],
            )
            return bool(cursor.rowcount == 1)


def _end(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=min(seconds, LONGEST_SECONDS))
