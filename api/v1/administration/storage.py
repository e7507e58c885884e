"""The storage used by the mail of accounts. Moving stored mail to another store is a command."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Min
from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Limit, Text
from mailbox.models import StorageUse
from mailbox.views.pagination import cut
from outbox.views.attachments.attachments import AccountUsage, disk_use, usage_of

router = Router(tags=["storage"])


class Usage(Schema):
    """Numbers and bytes by kind: `received` and `sent` mail, and the attachments in it, `received_files` and
    `sent_files`. `total`: bytes of received and written mail."""

    items: dict[str, int]
    sizes: dict[str, int]
    total: int

    @classmethod
    def of(cls, found: AccountUsage) -> Usage:
        return cls(items=found.items, sizes=found.sizes, total=found.total)


class AccountUse(Schema):
    """What one account uses; nothing before it was counted."""

    account_id: int
    usage: Usage


class DiskUse(Schema):
    """What all stored mail takes on disk: equal mails are kept once, previews and fetched images are counted."""

    size: int = Field(description="Bytes.")
    pieces: int


class StorageState(Schema):
    """The storage used, as counted hourly. `next` is the `after` of the following page; `usage` is of all accounts."""

    items: list[AccountUse]
    next: str | None
    usage: Usage
    counted_at: datetime | None = Field(description="The earliest count; null before the first.")
    disk: DiskUse | None = Field(
        description="null for a token that may not read all accounts, and before the first count."
    )


@router.get("/storage", response={200: Answer[StorageState], **FAILURES}, operation_id="get_storage")
def get_storage(request: HttpRequest, limit: Limit = 50, after: Text = "") -> Answer[StorageState]:
    """The storage that the accounts use which this token may read, sorted by address, and all of them together."""
    accounts = caller_of(request).accounts(Scope.READ)
    rows = accounts.order_by("email")
    page, last = cut(list((rows.filter(email__gt=after) if after else rows)[: limit + 1]), limit)
    counted = StorageUse.objects.filter(account__in=accounts)
    of_page: dict[int | None, list[StorageUse]] = {}
    for row in counted.filter(account__in=[each.pk for each in page]):
        of_page.setdefault(row.account_id, []).append(row)
    items = [AccountUse(account_id=each.pk, usage=Usage.of(usage_of("", of_page.get(each.pk, [])))) for each in page]
    disk = disk_use() if caller_of(request).has_everywhere(Scope.READ) else None
    return Answer(
        data=StorageState(
            items=items,
            next=last.email if last else None,
            usage=Usage.of(usage_of("", counted)),
            counted_at=counted.aggregate(at=Min("counted_at"))["at"],
            disk=DiskUse(size=disk.size, pieces=disk.items) if disk else None,
        )
    )
