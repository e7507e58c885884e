"""The folder chooser: which folders of an account are synced; and listing them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbox.localized import grouped
from mailbox.models import Account, Folder
from mailbox.permissions import Role, get_account
from mailbox.sync.folders import GMAIL_FOLDERS
from mailbox.tasks import sync as sync_tasks
from mailbox.views.accounts.account_permissions import Rights
from mailbox.views.accounts.accounts import has_just_signed_in, is_partial
from mailbox.views.accounts.onboarding import is_being_set_up
from mailbox.views.activity.audit import record

MAX_DEPTH = 5  # levels of indentation; deeper folders are shown at the fifth
USES = {
    "\\Sent": _("sent mail"),
    "\\Drafts": _("drafts"),
    "\\Trash": _("trash"),
    "\\Junk": _("junk"),
    "\\Archive": _("archive"),
    "\\All": _("all mail"),
    "\\Flagged": _("flagged"),
    "\\Important": _("important"),
}


@dataclass(frozen=True)
class FolderRow:
    """A folder as the chooser shows it: below its parent, with the last part of its name, and its special use."""

    folder: Folder
    label: str
    depth: int
    use: str

    is_proposed: bool = False  # ticked by default while nothing is chosen yet

    @property
    def is_offered(self) -> bool:
        return may_be_chosen(self.folder)

    @property
    def is_ticked(self) -> bool:
        """Whether its box is ticked when the page opens: it is synced, or proposed."""
        return self.folder.sync_enabled or self.is_proposed


def may_be_chosen(folder: Folder) -> bool:
    """Whether the folder may be chosen. A Gmail label may not, since All Mail holds its messages, unless it is chosen
    already and may be deselected."""
    return folder.selectable and (not folder.is_label or folder.sync_enabled)


def tree(folders: list[Folder]) -> list[FolderRow]:
    """The folders as a tree: INBOX first, then by name. Below a parent that is not listed the full name is shown."""
    names = {folder.name for folder in folders}
    rows = []
    for folder in sorted(folders, key=_sort_key):
        parents = _parents(folder)
        listed = [parent for parent in parents if parent in names]
        label = folder.name[len(listed[-1]) + len(folder.delimiter) :] if listed else folder.name
        rows.append(FolderRow(folder, label, min(len(listed), MAX_DEPTH), str(USES.get(folder.special_use, ""))))
    return rows


def proposed(rows: list[FolderRow]) -> list[FolderRow]:
    """The rows with the default choice ticked: INBOX; on Gmail All Mail and the folders whose mail it does not hold."""
    has_labels = any(row.folder.is_label for row in rows)

    def is_usual(folder: Folder) -> bool:
        return folder.special_use in GMAIL_FOLDERS if has_labels else folder.name == "INBOX"

    return [replace(row, is_proposed=row.is_offered and is_usual(row.folder)) for row in rows]


def _sort_key(folder: Folder) -> tuple[bool, list[str]]:
    parts = folder.name.split(folder.delimiter) if folder.delimiter else [folder.name]
    return parts[0].upper() != "INBOX", [part.casefold() for part in parts]


def _parents(folder: Folder) -> list[str]:
    if not folder.delimiter:
        return []
    parts = folder.name.split(folder.delimiter)
    return [folder.delimiter.join(parts[:depth]) for depth in range(1, len(parts))]


@require_http_methods(["GET", "HEAD", "POST"])
def folders(request: HttpRequest, pk: int) -> HttpResponse:
    """The folders of an account. Viewers see which are synced, administrators choose."""
    role = Role.ADMINISTRATOR if request.method == "POST" else Role.VIEWER
    account = get_account(request.user, pk, role)
    rows = list(account.folders.filter(gone_at=None).select_related("sync_state").order_by("name"))
    if request.method == "POST":
        return _choose(request, account, rows)
    rights = Rights.of(request.user)
    is_new, shown = is_being_set_up(account), tree(rows)
    waits = is_new and account.folders_listed_at is None
    if is_new and not any(row.sync_enabled for row in rows):
        shown = proposed(shown)
    context = {
        "account": account,
        "setting_up": is_new,
        "is_first_listing": waits,
        "folders": rows,
        "rows": shown,
        "may_choose": rights.may_administer(pk),
        "may_operate": rights.may_operate(pk),
        "asked_at": _asked_at(request) or (account.created_at if waits else None),
        "has_just_signed_in": has_just_signed_in(request, pk),
        "chosen_count": sum(row.sync_enabled and row.selectable for row in rows),
    }
    return render(request, "mailbox/accounts/folders.html", context)


def _choose(request: HttpRequest, account: Account, rows: list[Folder]) -> HttpResponse:
    """Save the choice. A folder that was listed after the form was made is not in it and stays as it is."""
    wanted, shown = set(request.POST.getlist("folder")), set(request.POST.getlist("shown"))
    offered = [row for row in rows if may_be_chosen(row) and str(row.pk) in shown]
    is_new = is_being_set_up(account)
    chosen = {row.pk for row in offered if str(row.pk) in wanted}
    choose(request, account, offered, chosen, is_noted=is_new)
    if chosen:
        messages.success(
            request,
            ngettext("%(number)s folder is synced now.", "%(number)s folders are synced now.", len(chosen))
            % {"number": grouped(len(chosen))},
        )
    else:
        messages.warning(request, gettext("No folder is synced now; no mail is fetched. Mail that is here stays."))
    return redirect("mailbox:account" if is_new else "mailbox:account_folders", account.pk)


def choose(
    request: HttpRequest, account: Account, offered: list[Folder], chosen: set[int], *, is_noted: bool = False
) -> None:
    """Of the `offered` folders sync those whose pk is in `chosen`, and no others.

    `is_noted`: record it in the activity even if nothing changed.
    """
    on = [row for row in offered if row.pk in chosen and not row.sync_enabled]
    off = [row for row in offered if row.pk not in chosen and row.sync_enabled]
    with transaction.atomic():
        Folder.objects.filter(pk__in=[row.pk for row in on]).update(sync_enabled=True)
        Folder.objects.filter(pk__in=[row.pk for row in off]).update(sync_enabled=False)
        if on or off or is_noted:
            named = [f"+{row.name}" for row in on] + [f"-{row.name}" for row in off]
            record(request, "choose_folders", f"account:{account.pk}", account, ", ".join(named)[:500])
    if on and account.sync_enabled:
        sync_tasks.queue_sync(account.pk, request.user.pk)


@require_POST
def refresh_folders(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a listing of the account's folders."""
    account = get_account(request.user, pk, Role.OPERATOR)
    now = timezone.now()
    ask_for_listing(request, account)
    url = reverse("mailbox:account_folders", args=[pk])
    return redirect(f"{url}?asked={now:%Y-%m-%dT%H:%M:%S.%fZ}")


@transaction.atomic
def ask_for_listing(request: HttpRequest, account: Account) -> None:
    """Have a worker list the account's folders, and record it in the activity. The caller checks the role."""
    sync_tasks.queue_folder_listing(account.pk)
    record(request, "list_folders", f"account:{account.pk}", account)


def _asked_at(request: HttpRequest) -> datetime | None:
    try:
        asked = parse_datetime(request.GET.get("asked", ""))
        return asked.astimezone(UTC) if asked and asked.tzinfo else None
    except (ValueError, OverflowError):  # not a date, or outside of the calendar in UTC
        return None


@require_safe
def folders_listed(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that waits for a listing; htmx polls it."""
    account, asked = get_account(request.user, pk), _asked_at(request)
    if not is_partial(request):
        return redirect("mailbox:account_folders", pk)
    listed_at = account.folders_listed_at
    if request.GET.get("first") and listed_at and asked and listed_at >= asked:
        # The page had nothing to tick yet, so reloading it loses no input.
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "mailbox/accounts/_listing.html", {"account": account, "asked_at": asked})
