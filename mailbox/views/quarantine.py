"""The quarantine: messages that could not be fetched or stored, and the buttons to fetch or parse them again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages as notices
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from mailbox import features
from mailbox.exports.list_pages import PAGE, ListPage
from mailbox.models import Account, LaterReading, Message, MessagePlace, Quarantine
from mailbox.permissions import Role, accounts_for, get_account, has_role_everywhere
from mailbox.storage import raw_store
from mailbox.tasks import sync as sync_tasks
from mailbox.views.activity.audit import record
from mailbox.views.csv_export import MOST, by_workers, csv_file
from mailbox.views.pagination import FirstRows, cut, limit_of, next_page
from mailbox.views.reading.message_lookup import find_message
from mailbox.views.requests import number_of, of_accounts, signed_in_user

READINGS_SHOWN = 50
CSV_HEAD = ("account", "folder", "uid", "sender", "subject", "error", "attempts", "last_failed_at")
LARGE = ("message__body_text", "message__body_html", "message__attached_text")


@require_safe
def quarantine(request: HttpRequest) -> HttpResponseBase:
    """The list, by pk, so that its order is stable while errors repeat. `?format=csv`: as a file."""
    limit, before, off = limit_of(request), number_of(request, "before"), features.unreadable_to(request.user)
    rows = of_accounts(Quarantine.objects.open(), request).select_related("account", "folder").order_by("-pk")
    if request.GET.get("format") == "csv":
        found = without_words(rows[: MOST + 1], off)
        if len(found) > MOST:
            return by_workers(request, "quarantine")
        return csv_file("quarantine", CSV_HEAD, map(_cells, found))
    if before:
        rows = rows.filter(pk__lt=before)
    page, last = cut(without_words(rows[: limit + 1], off), limit)
    everywhere = has_role_everywhere(request.user, Role.OPERATOR)
    operated = set() if everywhere else set(accounts_for(request.user, Role.OPERATOR).values_list("pk", flat=True))
    unread = of_accounts(LaterReading.objects.failed(), request).select_related("account", "message").order_by("-pk")
    readings = FirstRows[LaterReading]([] if before else unread.defer(*LARGE), READINGS_SHOWN)
    shown: list[Any] = [*page, *readings]
    for row in shown:
        row.may_operate = everywhere or row.account_id in operated
        row.is_unreadable = row.account_id in off
    context = {"rows": page, "readings": readings, "next_url": next_page(request, last.pk) if last else ""}
    return render(request, "mailbox/quarantine/list.html", context)


def quarantine_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the list for a file that workers make."""
    rows = of_accounts(Quarantine.objects.open(), request).select_related("account", "folder").order_by("-pk")
    rows = rows.filter(pk__lt=after) if after else rows
    page, last = cut(without_words(rows[: PAGE + 1], features.unreadable_to(request.user)), PAGE)
    return ListPage([_cells(row) for row in page], {row.account_id for row in page}, last.pk if last else None)


def _cells(row: Quarantine) -> list[object]:
    found = (row.uid, row.sender, row.subject, row.error, row.attempts, row.last_failed_at)
    return [row.account.email, row.folder.name, *found]


def without_words(rows: Iterable[Quarantine], off: set[int]) -> list[Quarantine]:
    """The rows, without what their headers say where the account (`off`) may not be read. They are not to be saved."""
    found = list(rows)
    for row in found:
        if row.account_id in off:
            row.subject = row.sender = ""
    return found


@require_POST
def fetch_quarantined(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a quarantined message fetched again. 404 for one the user may not see; needs the role operator."""
    row = of_accounts(Quarantine.objects.open().filter(pk=pk), request).select_related("folder").first()
    if row is None:
        raise Http404("No such message in quarantine.")
    account = get_account(request.user, row.account_id, Role.OPERATOR)
    ask_to_fetch(request, row, account)
    notices.success(
        request,
        gettext("UID %(uid)s of %(folder)s is fetched again with the sync that starts now.")
        % {"uid": row.uid, "folder": row.folder.name},
    )
    return redirect("mailbox:quarantine")


@transaction.atomic
def ask_to_fetch(request: HttpRequest, row: Quarantine, account: Account) -> None:
    """Mark the message for the sync that is queued now, and record it. The caller checks the role."""
    Quarantine.objects.open().filter(pk=row.pk).update(fetch_requested_at=timezone.now())
    record(request, "fetch_again", f"quarantine:{row.pk}", account, f"UID {row.uid} of {row.folder.name}")
    sync_tasks.queue_sync(account.pk, signed_in_user(request).pk)


@require_POST
def read_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a stored message parsed again; the next sweep does it."""
    rows = LaterReading.objects.failed().filter(pk=pk)
    row = of_accounts(rows, request).first()
    if row is None:
        raise Http404("No such reading.")
    account = get_account(request.user, row.account_id, Role.OPERATOR)
    with transaction.atomic():
        rows.ask_again(timezone.now())
        record(request, "read_again", f"message:{row.message_id}", account)
    notices.success(request, gettext("The message is read again within a minute."))
    return redirect("mailbox:quarantine")


@require_POST
def fetch_message(request: HttpRequest, pk: int) -> HttpResponse:
    """Fetch a whole message: one above the size limit, of which only the header is stored, or one whose stored bytes
    cannot be read."""
    row = find_message(request, pk, Role.OPERATOR)
    if refusal := ask_for_whole(request, row):
        notices.warning(request, refusal)
    else:
        notices.success(
            request, gettext("The whole message is fetched with the sync that starts now. Reload in a moment.")
        )
    return redirect("mailbox:message", row.pk)


def ask_for_whole(request: HttpRequest, row: Message) -> str:
    """Queue the fetch of a whole message. Returns a sentence that says why not, or ""."""
    places = MessagePlace.objects.present().filter(message=row)
    if raw_store.is_sound(row.raw_digest):
        places = places.filter(is_complete=False)
    if row.size > settings.FETCH_NOW_MAX_BYTES:
        most = filesizeformat(settings.FETCH_NOW_MAX_BYTES)
        words = gettext(
            "This message has %(size)s, and no more than %(most)s is fetched. Get it with another "
            "mail program, or have PRX_EMAIL_FETCH_NOW_MAX_BYTES raised."
        )
        return words % {"size": filesizeformat(row.size), "most": most}
    with transaction.atomic():
        if not places.update(fetch_requested_at=timezone.now()):
            return gettext("Nothing to fetch: the message is complete, or the server no longer has it.")
        record(request, "fetch_now", f"message:{row.pk}", row.account)
        sync_tasks.queue_sync(row.account_id, signed_in_user(request).pk)
    return ""
