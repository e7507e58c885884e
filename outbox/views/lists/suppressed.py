"""The suppression lists of accounts: listing, adding and removing addresses, CSV export and import."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from mailbox.exports.list_pages import PAGE, ListPage
from mailbox.localized import grouped
from mailbox.models import Account
from mailbox.models.accounts import AccountQuerySet
from mailbox.permissions import Role, accounts_for, require_role_somewhere
from mailbox.views.activity.audit import record
from mailbox.views.csv_export import MOST, by_workers, csv_file
from mailbox.views.pagination import cut, limit_of, next_page
from mailbox.views.requests import number_of, of_accounts, posted_key, signed_in_user
from outbox.compose import suppression
from outbox.errors import ValidationFailed
from outbox.models import SuppressedAddress


@require_safe
def suppressed(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The list of addresses; `?format=csv` for a spreadsheet or the import into another installation."""
    limit, before = limit_of(request), number_of(request, "before")
    rows = _rows(request)
    if request.GET.get("format") == "csv":
        return by_workers(request, "suppressed") if rows[MOST : MOST + 1].exists() else as_csv(rows)
    page, last = cut(list((rows.filter(pk__lt=before) if before else rows)[: limit + 1]), limit)
    context = {
        "rows": page,
        "next_url": next_page(request, last.pk) if last else "",
        "accounts": accounts_for(signed_in_user(request)).order_by("email"),
        "operated": set(_operated(request).values_list("pk", flat=True)),
        "account": number_of(request, "account"),
        "text": _text(request),
    }
    return render(request, "outbox/suppressed.html", context)


def _text(request: HttpRequest) -> str:
    return request.GET.get("q", "").strip().replace("\0", "").lower()[:320]


def _rows(request: HttpRequest) -> QuerySet[SuppressedAddress]:
    """The addresses that the filters of the list mean, newest first."""
    rows = of_accounts(SuppressedAddress.objects.select_related("account", "added_by"), request).order_by("-pk")
    if account := number_of(request, "account"):
        rows = rows.filter(account=account)
    text = _text(request)
    return rows.filter(address__contains=text) if text else rows


def suppressed_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the list for a file that workers make."""
    rows = _rows(request)
    page, last = cut(list((rows.filter(pk__lt=after) if after else rows)[: PAGE + 1]), PAGE)
    return ListPage([_cells(row) for row in page], {row.account_id for row in page}, last.pk if last else None)


def _cells(row: SuppressedAddress) -> list[object]:
    return [row.account.email, row.address, row.reason, row.since.isoformat(), row.words]


def as_csv(rows: QuerySet[SuppressedAddress]) -> StreamingHttpResponse:
    """All rows, without a limit: another installation would write to addresses that were left out."""
    return csv_file("suppressed", suppression.HEAD, map(_cells, rows.select_related("account").iterator()))


def _operated(request: HttpRequest) -> AccountQuerySet:
    return accounts_for(signed_in_user(request), Role.OPERATOR)


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """Put an address on an account's list by hand; needs the operator's role for the account."""
    require_role_somewhere(request.user, Role.OPERATOR)
    pk = posted_key(request, "account")
    if pk is None:
        return _refused(request, gettext("Choose an account."))
    account = _account(request, pk)
    try:
        given = suppression.by_hand(request.POST.get("address", ""), request.POST.get("words", "").replace("\0", ""))
    except ValidationFailed as error:
        return _refused(request, str(error))
    put_on_list(request, account, given)
    notices.success(request, gettext("A new mail to %(address)s is refused from now on.") % {"address": given.address})
    return redirect("outbox:suppressed")


@transaction.atomic
def put_on_list(request: HttpRequest, account: Account, given: suppression.Given) -> None:
    """Add the address, and record it unless it is on the list already. Shared by page and API."""
    if suppression.add(account, [given], signed_in_user(request).pk):
        record(request, "suppress", f"account:{account.pk}", account, given.address)


@transaction.atomic
def take_off_list(request: HttpRequest, row: SuppressedAddress) -> None:
    """Delete the row, and record what it said. Shared by page and API."""
    detail = f"{row.address}: {row.reason} {row.since:%Y-%m-%d}"
    record(request, "unsuppress", f"account:{row.account_id}", row.account, detail)
    row.delete()


def _refused(request: HttpRequest, words: str) -> HttpResponse:
    """Redirect to the list with an error message."""
    notices.error(request, words)
    return redirect("outbox:suppressed")


def _account(request: HttpRequest, pk: int) -> Account:
    found = _operated(request).filter(pk=pk).first()
    if found is None:
        raise PermissionDenied(gettext("Choose an account for which you are an operator."))
    return found


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an address off its list; needs the operator's role for the account."""
    rows = of_accounts(SuppressedAddress.objects.select_related("account"), request)
    row = get_object_or_404(rows, pk=pk)
    _account(request, row.account_id)
    take_off_list(request, row)
    notices.success(request, gettext("%(address)s is written to again.") % {"address": row.address})
    return redirect("outbox:suppressed")


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Import a CSV file: all lines or none."""
    require_role_somewhere(request.user, Role.OPERATOR)
    file = request.FILES.get("file")
    try:
        content = file.read(suppression.MOST_BYTES + 1) if file else b""
        number = import_csv(request, content, _operated(request))
    except suppression.CannotImport as error:
        return _refused(request, str(error))
    notices.success(request, gettext("%(number)s addresses are new on the list.") % {"number": grouped(number)})
    return redirect("outbox:suppressed")


def import_csv(request: HttpRequest, content: bytes, operated: AccountQuerySet) -> int:
    """Import all lines or none; returns how many are new. Raises CannotImport, or NotOperated for another account."""
    found = list(suppression.read_csv(content))
    accounts = {each.email.lower(): each for each in operated}
    if unknown := sorted({email for email, _given in found} - accounts.keys()):
        words = gettext("You operate no account %(account)s.")
        raise suppression.NotOperated(words % {"account": unknown[0]})
    number = 0
    with transaction.atomic():
        for email, account in accounts.items():
            if given := [each for of, each in found if of == email]:
                new = suppression.add(account, given, signed_in_user(request).pk)
                number += new
                record(request, "suppress_import", f"account:{account.pk}", account, str(new))
    return number
