"""The lists that can be had as a file: the columns of each, how it is read, and its page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, QueryDict

from mailbox.exports.list_pages import ListPage, ListSource
from mailbox.models import Export
from mailbox.views import exports, quarantine
from mailbox.views.accounts import account_csv, accounts
from mailbox.views.activity import activity
from outbox.compose import suppression
from outbox.views.attachments import attachment_csv, attachments
from outbox.views.lists import list_csv, outbox_list, suppressed


@dataclass(frozen=True)
class ListKind:
    """read: (request with user and filters, cursor, the time of the export) -> a page. page: name of its URL."""

    head: Sequence[str]
    read: Callable[[HttpRequest, Any, datetime], ListPage]
    page: str


LISTS = {
    "accounts": ListKind(account_csv.HEAD, accounts.accounts_page, "mailbox:accounts"),
    "messages": ListKind(exports.LIST_HEAD, exports.messages_page, "mailbox:messages"),
    "outbox": ListKind(list_csv.CSV_HEAD, outbox_list.outbox_page, "outbox:list"),
    "attachments": ListKind(attachment_csv.HEAD, attachments.attachments_page, "outbox:attachments"),
    "activity": ListKind(activity.HEAD, activity.activity_page, "mailbox:activity"),
    "quarantine": ListKind(quarantine.CSV_HEAD, quarantine.quarantine_page, "mailbox:quarantine"),
    "suppressed": ListKind(suppression.HEAD, suppressed.suppressed_page, "outbox:suppressed"),
    "runs": ListKind(accounts.RUNS_HEAD, accounts.runs_page, "mailbox:accounts"),
}


def source_of(export: Export, user: User) -> ListSource:
    """The list of this export as its user sees it. Raises KeyError for an unknown one; reading a page raises what the
    list's page raises."""
    kind, request = LISTS[QueryDict(export.query)["list"]], HttpRequest()
    request.user, request.method = user, "GET"
    request.GET = QueryDict(export.query)
    return ListSource(kind.head, partial(_read, kind, request, export.asked_at))


def _read(kind: ListKind, request: HttpRequest, at: datetime, after: Any) -> ListPage:
    return kind.read(request, after, at)
