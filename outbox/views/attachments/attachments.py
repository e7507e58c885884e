"""Pages of received and sent attachments: list, previews, the storage they use, and the policy for outgoing ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_safe

from mailbox import features
from mailbox.exports.list_pages import PAGE, ListPage
from mailbox.models import Account, Feature, StorageUse
from mailbox.models.file_kinds import KINDS
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.activity.audit import record
from mailbox.views.csv_export import MOST, by_workers, csv_file
from mailbox.views.pagination import limit_of, next_page
from mailbox.views.reading import previews
from mailbox.views.reading.latest_per_account import of_some
from mailbox.views.requests import of_accounts, signed_in_user
from outbox.models import AttachmentPolicy, OutboxAttachment
from outbox.policy_form import PolicyForm
from outbox.views.attachments import attachment_csv
from outbox.views.attachments.attachment_selection import DIRECTIONS, SIZES, AttachmentCursor, AttachmentFilters, find
from outbox.views.visible_rows import find_row, operated_accounts, visible_accounts


@require_safe
def attachments(request: HttpRequest) -> HttpResponseBase:
    """The list of received and sent files; `?format=csv` for a spreadsheet. Received ones of accounts whose reading is
    switched off are left out."""
    limit, before = limit_of(request), AttachmentCursor.read(request.GET.get("before", ""))
    filters, accounts = AttachmentFilters.read(request), visible_accounts(request)
    seen, off = _seen(request, filters, accounts)
    if request.GET.get("format") == "csv":
        rows, last = find(filters, seen, before, MOST)
        if last:
            return by_workers(request, "attachments")
        return csv_file("attachments", attachment_csv.HEAD, attachment_csv.lines_of(rows))
    rows, last = find(filters, seen, before, limit)
    previews.set_states(rows)
    context = {
        "rows": rows,
        "filters": filters,
        "directions": [
            (label, filters.query(direction=name), name == filters.direction) for name, label in DIRECTIONS.items()
        ],
        "kinds": [(name, label) for name, (label, _starts) in KINDS.items()],
        "sizes": [(name, label) for name, (label, _bytes) in SIZES.items()],
        "accounts": accounts,
        "unread_accounts": len(off) if filters.direction != "sent" else 0,
        "next_url": next_page(request, last) if last else "",
        "first_url": f"?{filters.query()}",
        "csv_url": "?" + "&".join(filter(None, (filters.query(), "format=csv"))),
        "clear_url": f"?{AttachmentFilters(direction=filters.direction).query()}",
        "is_first_page": before is None,
        "operated": operated_accounts(request),
        "policy": AttachmentPolicy.current(),
        "may_administer": has_role_everywhere(request.user, Role.ADMINISTRATOR),
    }
    return render(request, "outbox/attachments.html", context)


def attachments_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the list for a file that workers make."""
    filters = AttachmentFilters.read(request)
    seen, _off = _seen(request, filters, visible_accounts(request))
    rows, last = find(filters, seen, AttachmentCursor.read(after or ""), PAGE)
    accounts = {(row.message if row.is_received else row.outbox).account_id for row in rows}
    return ListPage(list(attachment_csv.lines_of(rows)), accounts, str(last) if last else None)


def _seen(
    request: HttpRequest, filters: AttachmentFilters, accounts: list[Account]
) -> tuple[dict[str, set[int] | None], set[int]]:
    """(direction -> the accounts whose files are listed, None for all; those whose reading is switched off)."""
    seen = of_some(request, accounts)
    if filters.account is not None:
        seen = {account.pk for account in accounts if account.pk == filters.account}
    known = features.Rollouts.known_to(request.user)
    off = features.those_off(Feature.INBOX_READ, among=[each.pk for each in accounts], known=known)
    read = (seen if seen is not None else {each.pk for each in accounts}) - off if off else seen
    return {"sent": seen, "received": read}, off


def find_attachment(request: HttpRequest, pk: int, position: int) -> OutboxAttachment:
    """An attachment of a written mail that the user may see; Http404 otherwise."""
    row = find_row(request, pk)
    found: OutboxAttachment | None = row.attachment_rows.filter(position=position).first()
    if found is None:
        raise Http404("No such attachment.")
    found.outbox = row
    return found


@require_safe
def preview(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    """The page that shows a sent file. Raises Http404 if the user may not see it."""
    found = find_attachment(request, pk, position)
    addresses = previews.PreviewAddresses(
        reverse("outbox:preview", args=[pk, position]), reverse("outbox:picture", args=[pk, position])
    )
    context = {
        "download": reverse("outbox:attachment", args=[pk, position]),
        "back": reverse("outbox:detail", args=[pk]),
        "subject": found.outbox.subject,
    }
    return previews.page(request, found, found.outbox.mime_digest, addresses, context)


@require_safe
def picture(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    """The picture of a sent file that its preview shows. Raises Http404 as preview() does."""
    return previews.picture(request, find_attachment(request, pk, position))


@dataclass(frozen=True)
class AccountUsage:
    """The storage that one account uses, or all accounts that the user may see: numbers and bytes by kind."""

    name: str
    items: dict[str, int]
    sizes: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of received and written mail; the other kinds are parts of these."""
        return sum(self.sizes.get(kind, 0) for kind in ("received", "sent"))


@require_safe
def storage(request: HttpRequest) -> HttpResponse:
    """The storage used, as counted hourly. The use of the disk is shown only to users who see all accounts."""
    sees_all = has_role_everywhere(request.user, Role.VIEWER)
    counted = list(of_accounts(StorageUse.objects.exclude(account=None), request).select_related("account"))
    names = {row.account_id: row.account.email for row in counted if row.account}
    used = [usage_of(name, [row for row in counted if row.account_id == pk]) for pk, name in names.items()]
    used.sort(key=lambda each: each.total, reverse=True)
    counted_at: datetime | None = min((row.counted_at for row in counted), default=None)
    context = {
        "used": used,
        "all": usage_of(gettext("All accounts"), counted),
        "largest": max((each.total for each in used), default=0),
        "counted_at": counted_at,
        "disk": disk_use() if sees_all else None,
    }
    return render(request, "outbox/storage.html", context)


def disk_use() -> StorageUse | None:
    """What all stored mail takes on disk; None before it was counted."""
    return StorageUse.objects.filter(account=None, kind=StorageUse.Kind.ON_DISK).first()


def usage_of(name: str, rows: Iterable[StorageUse]) -> AccountUsage:
    """The rows added up by kind."""
    items: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for row in rows:
        items[row.kind] = items.get(row.kind, 0) + row.items
        sizes[row.kind] = sizes.get(row.kind, 0) + row.size
    return AccountUsage(name, items, sizes)


@require_http_methods(["GET", "HEAD", "POST"])
def policy(request: HttpRequest) -> HttpResponse:
    """The attachment policy, which applies to all accounts; for administrators of all accounts."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("The attachment policy needs the role administrator for all accounts."))
    current = AttachmentPolicy.current()
    form = PolicyForm(request.POST or None, instance=current)
    if request.method == "POST" and form.is_valid():
        save_policy(request, form)
        notices.success(request, gettext("The policy is saved and holds for every mail written from now on."))
        return redirect("outbox:policy")
    return render(request, "outbox/policy.html", {"form": form, "policy": current})


@transaction.atomic
def save_policy(request: HttpRequest, form: PolicyForm) -> None:
    """Save a valid form, with the user, and record it."""
    changed = form.save(commit=False)
    changed.updated_by = signed_in_user(request)
    changed.save()
    types = ", ".join(changed.allowed_content_types)
    record(request, "edit_policy", "attachment_policy", detail=f"{changed.max_size_bytes} bytes; {types}")
