"""Saved filters of lists: a user's own, and those that an operator shares with all users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from mailbox.models import SavedFilters
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.activity.audit import record
from mailbox.views.requests import Refused, signed_in_user

PAGES = {
    "outbox": "outbox:list",
    "activity": "mailbox:activity",
    "accounts": "mailbox:accounts",
    "search": "mailbox:search",
    "messages": "mailbox:messages",
    "attachments": "outbox:attachments",
}
NAME_LIMIT, QUERY_LIMIT = 60, 1_000
_OF_A_PLACE = ("before", "after", "limit", "operation", "format")  # where somebody was in the list, not what it shows


@dataclass(frozen=True)
class Saved:
    """A saved filter as a link in its list."""

    name: str
    query: str
    is_shared: bool
    may_remove: bool


def offered(request: HttpRequest, page: str, own: list[dict[str, Any]], shared: list[dict[str, Any]]) -> list[Saved]:
    """The filters of a page, the user's own first; `own` and `shared` as permissions has read them with the user."""
    user = signed_in_user(request)
    administers = has_role_everywhere(user, Role.ADMINISTRATOR)
    found = [Saved(each["name"], each["query"], False, True) for each in own if each["page"] == page]
    return found + [
        Saved(each["name"], each["query"], True, administers or each["by"] == user.pk)
        for each in shared
        if each["page"] == page
    ]


def may_share(request: HttpRequest) -> bool:
    """Whether the user's role is operator for all accounts, which sharing a filter takes."""
    return has_role_everywhere(request.user, Role.OPERATOR)


@require_POST
def saved_filters(request: HttpRequest) -> HttpResponse:
    """POST `do`: "save" or "remove". Saving under an existing name replaces that filter."""
    page, name = request.POST.get("page", ""), " ".join(request.POST.get("name", "").replace("\0", "").split())
    if page not in PAGES or not name or len(name) > NAME_LIMIT:
        words = gettext("A filter is kept under a name of at most %(most)s characters. Nothing was changed.")
        notices.warning(request, words % {"most": NAME_LIMIT})
        return redirect(reverse(PAGES.get(page, "outbox:list")))
    if len(request.POST.get("query", "")) > QUERY_LIMIT:
        notices.warning(request, gettext("These filters are too long to be kept. Nothing was changed."))
        return redirect(reverse(PAGES[page]))
    query, is_shared = _without_page(request.POST.get("query", "")), request.POST.get("shared") == "1"
    if is_shared and not may_share(request):
        raise PermissionDenied(gettext("Only operators of all accounts share filters."))
    if request.POST.get("do") == "remove":
        _remove(request, page, name, is_shared=is_shared)
    else:
        _save(request, page, name, query, is_shared=is_shared)
    return redirect(f"{reverse(PAGES[page])}?{query}" if query else reverse(PAGES[page]))


def _without_page(given: str) -> str:
    pairs = [pair for pair in parse_qsl(given.replace("\0", "")) if pair[0] not in _OF_A_PLACE]
    return urlencode(pairs)


def _row(request: HttpRequest, *, is_shared: bool) -> SavedFilters:
    """The row with the user's (or the shared) filters, locked; created if it is missing."""
    key = SavedFilters.SHARED if is_shared else SavedFilters.key_of(signed_in_user(request).pk)
    SavedFilters.objects.bulk_create([SavedFilters(key=key)], ignore_conflicts=True)
    return SavedFilters.objects.select_for_update().get(pk=key)


def _save(request: HttpRequest, page: str, name: str, query: str, *, is_shared: bool) -> None:
    user = signed_in_user(request)
    with transaction.atomic():
        row = _row(request, is_shared=is_shared)
        before = next((each for each in row.filters if (each["page"], each["name"]) == (page, name)), None)
        if before and not _may_change(request, before, is_shared=is_shared):
            raise PermissionDenied(gettext("Another person shares a filter of this name."))
        others = [each for each in row.filters if each is not before]
        if len(others) >= SavedFilters.AT_MOST:
            raise Refused(gettext("There are %(most)s saved filters already: remove some.") % {"most": len(others)})
        row.filters = [*others, {"page": page, "name": name, "query": query, "by": user.pk}]
        row.save()
        if is_shared:
            record(request, "share_filter", f"filter:{page}", detail=name)
    notices.success(request, gettext("The filter “%(name)s” is kept above the list.") % {"name": name})


def _remove(request: HttpRequest, page: str, name: str, *, is_shared: bool) -> None:
    with transaction.atomic():
        row = _row(request, is_shared=is_shared)
        found = next((each for each in row.filters if (each["page"], each["name"]) == (page, name)), None)
        if found is None:
            return
        if not _may_change(request, found, is_shared=is_shared):
            raise PermissionDenied(gettext("Who shared this filter removes it, or an administrator."))
        row.filters = [each for each in row.filters if each is not found]
        row.save()
        if is_shared:
            record(request, "remove_filter", f"filter:{page}", detail=name)
    notices.success(request, gettext("The filter “%(name)s” is removed.") % {"name": name})


def _may_change(request: HttpRequest, found: dict[str, Any], *, is_shared: bool) -> bool:
    user = signed_in_user(request)
    return not is_shared or found["by"] == user.pk or has_role_everywhere(user, Role.ADMINISTRATOR)
