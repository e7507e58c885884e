"""The number of new messages since a list was shown; its page polls it, and does not change until the user clicks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from mailbox.models import Folder, Message, MessagePlace
from mailbox.models.team_marks import team_filter
from mailbox.views.pagination import Cursor
from mailbox.views.reading.chosen import chosen_account, chosen_folder
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.reading.readable import Readable
from mailbox.views.reading.team_filters import team_filter_of
from mailbox.views.requests import number_of, signed_in_user

NEW_AT_MOST = 99


def poll_address(request: HttpRequest, rows: Sequence[Message], *, is_whole: bool) -> str:
    """The URL that the first page of a list polls, with what the page shows in its query.

    A message is new if its pk is higher than all on the page, and its date not older than the page's last row: a first
    sync stores old mail with high pks, which belongs to later pages. `is_whole`: no page follows, so any date counts.
    """
    asked = {name: request.GET[name] for name in ("account", "folder", "team") if request.GET.get(name)}
    asked["top"] = str(max((row.pk for row in rows), default=0))
    if rows and not is_whole:
        oldest = min(rows, key=lambda row: (row.received_at, row.pk))
        asked["since"] = str(Cursor(oldest.received_at, 0))
    if request.GET.get("by"):
        asked["by"] = request.GET["by"]
    return f"{reverse('mailbox:messages_new')}?{urlencode(asked)}"


@require_safe
def new_messages(request: HttpRequest) -> HttpResponse:
    """How many messages are new: with a pk above `top` and, with `since`, not older than that (see poll_address)."""
    top, since = number_of(request, "top") or 0, Cursor.read(request.GET.get("since", ""))
    readable = Readable.of(request)
    folder = chosen_folder(request)
    account = chosen_account(request, readable.everyone, folder)
    shown = {name: request.GET[name] for name in ("account", "folder", "team", "by") if request.GET.get(name)}
    context = {
        "new": _count(request, readable.keys(request, account), folder, top, since),
        "list_url": f"{reverse('mailbox:messages')}?{urlencode(shown)}",
    }
    return render(request, "mailbox/messages/_new.html", context)


def _count(
    request: HttpRequest, seen: Collection[int] | None, folder: Folder | None, top: int, since: Cursor | None
) -> int:
    newer = Q(received_at__gte=since.at) if since else Q()
    name = team_filter_of(request)
    if folder:
        marked = team_filter(name, signed_in_user(request), "message_id") if name else Q()
        places = MessagePlace.objects.present().filter(newer, marked, folder=folder, message__gt=top)
        return places.order_by("-received_at", "-pk")[: NEW_AT_MOST + 1].count()
    marked = team_filter(name, signed_in_user(request)) if name else Q()
    rows = Message.objects.visible().filter(newer, marked, pk__gt=top).order_by("-received_at", "-pk")
    return newest_of_accounts(rows, seen, NEW_AT_MOST + 1)[: NEW_AT_MOST + 1].count()
