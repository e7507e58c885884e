"""The folders of an account: list, choose those to sync, refresh the list."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.utils.translation import gettext
from ninja import Path, Router, Schema, Status

from api.models import Scope
from api.v1.accounts.account_shapes import FolderChoice
from api.v1.protocol.access import FAILURES, account_of
from api.v1.protocol.answers import Answer, Number
from api.v1.protocol.conditional import IF_MATCH, unchanged
from mailbox.models import Account, Folder
from mailbox.views.accounts.folders import ask_for_listing, choose, may_be_chosen
from mailbox.views.requests import Refused

router = Router(tags=["accounts"])


class FolderState(Schema):
    """A folder of an account. `special_use` is an attribute of RFC 6154, or empty."""

    id: int
    name: str
    special_use: str
    is_synced: bool
    may_be_chosen: bool

    @classmethod
    def of(cls, row: Folder) -> FolderState:
        own: dict[str, Any] = {"name": row.name, "special_use": row.special_use, "is_synced": row.sync_enabled}
        return cls(id=row.pk, **own, may_be_chosen=may_be_chosen(row))


LIST = {200: Answer[list[FolderState]], **FAILURES}


@router.get("/accounts/{pk}/folders", response=LIST, operation_id="list_folders")
def list_folders(request: HttpRequest, pk: Path[Number]) -> Answer[list[FolderState]]:
    """The folders that the server has, sorted by name."""
    return _answer(account_of(request, pk, Scope.READ))


def _answer(account: Account) -> Answer[list[FolderState]]:
    rows = Folder.objects.filter(account=account, gone_at=None).order_by("name")
    return Answer(data=[FolderState.of(row) for row in rows])


@router.patch("/accounts/{pk}/folders", response=LIST, operation_id="choose_folders", openapi_extra=IF_MATCH)
def choose_folders(request: HttpRequest, pk: Path[Number], given: FolderChoice) -> Answer[list[FolderState]]:
    """Choose which folders are synced. Stored mail of a folder that is no longer synced is kept. Heeds If-Match."""
    account = account_of(request, pk, Scope.ADMINISTER)
    with unchanged(request, Account.objects.filter(pk=pk), lambda: _answer(account)):
        asked = {*given.synced, *given.not_synced}
        rows = list(Folder.objects.filter(account=account, gone_at=None, pk__in=asked))
        if len(rows) < len(asked):
            raise Http404
        if wrong := [row.name for row in rows if not may_be_chosen(row)]:
            raise Refused(gettext("%(name)s cannot be synced.") % {"name": wrong[0]})
        choose(request, account, rows, set(given.synced) - set(given.not_synced))
        return _answer(account)


@router.post("/accounts/{pk}/folders/refresh", response={202: Answer[None], **FAILURES}, operation_id="refresh_folders")
def refresh_folders(request: HttpRequest, pk: Path[Number]) -> Status[Answer[None]]:
    """Have a worker list the server's folders again."""
    ask_for_listing(request, account_of(request, pk, Scope.OPERATE))
    return Status(202, Answer(data=None))
