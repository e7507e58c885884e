"""The pages: search all tables for an address, then export or, after a confirmation, erase the data."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbox.localized import grouped
from mailbox.models import PersonSearch
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.confirmation import Question, asks_first
from mailbox.views.pagination import FirstRows
from mailbox.views.requests import signed_in_user
from prx_email_site.personal_data import exporting, requests, words
from prx_email_site.personal_data.address import normal
from prx_email_site.personal_data.tables import TABLES

SHOWN = 30
State = PersonSearch.State


class AddressForm(forms.Form):
    """An address to search for. `key`: the same form sent twice makes one search."""

    address = forms.CharField(label=_("E-mail address"), max_length=320)
    key = forms.UUIDField(widget=forms.HiddenInput)

    def clean_address(self) -> str:
        """The address as it is searched for. Raises ValidationError if it is none."""
        address = normal(self.cleaned_data["address"])
        if not address:
            raise forms.ValidationError(gettext("Not an address."))
        return address


def _only_administrators(request: HttpRequest) -> None:
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("This looks into all accounts: an administrator of all may do it."))


@require_http_methods(["GET", "HEAD", "POST"])
def searches(request: HttpRequest) -> HttpResponse:
    """The list of searches, and the form that begins one."""
    _only_administrators(request)
    form = AddressForm(request.POST if request.method == "POST" else None, initial={"key": uuid.uuid4()})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        search = requests.begin(given["address"], signed_in_user(request), given["key"], timezone.now())
        return redirect("personal_data_search", search.pk)
    searches = PersonSearch.objects.select_related("user").defer("found", "named", "document")
    rows = FirstRows[PersonSearch](searches, SHOWN)
    context = {"form": form, "rows": rows}
    return render(request, "personal_data/list.html", context, status=422 if form.errors else 200)


@require_safe
def search(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of a search; for htmx only the fragment that changes."""
    found = _find(request, pk)
    is_at_work = found.state in (State.COUNTING, State.ERASING)
    reason = requests.why_not(found.address) if found.state == State.COUNTED else ""
    context = {
        "search": found,
        "is_at_work": is_at_work,
        "lines": words.lines_of(found, is_refused=bool(reason)),
        "tables": len(TABLES),
        "is_counted": found.state == State.COUNTED,
        "why_not": gettext(reason) if reason else "",
        "key": uuid.uuid4(),
        "error": gettext(found.error) if found.error else "",
    }
    part = request.headers.get("HX-Request") and is_at_work
    return render(request, "personal_data/_search.html" if part else "personal_data/search.html", context)


@require_POST
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """Begin an export of what a finished search has found."""
    found = _counted(request, pk)
    try:
        key = uuid.UUID(request.POST.get("key", ""))
    except ValueError:
        key = uuid.uuid4()
    made = exporting.begin(found.address, signed_in_user(request), key, timezone.now())
    return redirect("mailbox:export", made.pk)


@require_POST
def erase(request: HttpRequest, pk: int) -> HttpResponse:
    """Erase what a finished search has found, after a question; with `mentions`, also mail that only mentions the
    address."""
    found = _counted(request, pk)
    mentions = request.POST.get("mentions") == "1"
    if question := asks_first(request, _question(found, mentions=mentions)):
        return question
    try:
        requests.confirm(found, signed_in_user(request), mentions=mentions, now=timezone.now())
    except requests.RemovalRefused as refused:
        messages.error(request, gettext(str(refused)))
    return redirect("personal_data_search", pk)


def _question(found: PersonSearch, *, mentions: bool) -> Question:
    about = [(line.table, f"{grouped(line.number)} {line.outcome}") for line in
             words.lines_of(found)]  # fmt: skip
    if mentions:
        about.append((gettext("Mail of others"), gettext("that only mentions the address is erased, too")))
    return Question(
        title=gettext("Erase all that is stored of %(address)s?") % {"address": found.address},
        consequence=gettext(
            "What is erased cannot be brought back. Received mail stays on its server and is not fetched again; "
            "backups made before still hold it. All exports end."
        ),
        button=gettext("Erase for good"),
        back=reverse("personal_data_search", args=[found.pk]),
        about=about,
    )


@require_safe
def report(request: HttpRequest, pk: int) -> HttpResponse:
    """Download the signed report of an erasure; `manage.py completeness --verify FILE` checks its signature."""
    found = _find(request, pk)
    if not found.document:
        raise Http404("There is no report.")
    headers: dict[str, Any] = {"Content-Disposition": f'attachment; filename="erasure-{found.digest}.json"'}
    return JsonResponse(found.document, headers=headers, json_dumps_params={"indent": 1, "sort_keys": True})


def _find(request: HttpRequest, pk: int) -> PersonSearch:
    _only_administrators(request)
    return get_object_or_404(PersonSearch.objects.select_related("user"), pk=pk)


def _counted(request: HttpRequest, pk: int) -> PersonSearch:
    found = _find(request, pk)
    if found.state != State.COUNTED:
        raise PermissionDenied(gettext(requests.NOT_COUNTED))
    return found
