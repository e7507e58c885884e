"""Pages of exports of stored mail: what an export will contain, its progress, the download."""

from __future__ import annotations

import uuid
from datetime import datetime
from itertools import chain, islice
from typing import Any

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbox.csv_text import lines_of
from mailbox.exports import manifest, requests, writing
from mailbox.exports.list_pages import PAGE, TITLES, ListPage
from mailbox.exports.selection import Selection, SelectionInvalid, estimate
from mailbox.localized import listed
from mailbox.models import Account, Export, Folder, Message
from mailbox.models.team_marks import TEAM_FILTERS
from mailbox.permissions import Role, require_role_somewhere
from mailbox.views.confirmation import Question, asks_first
from mailbox.views.csv_export import MOST, by_workers, csv_file
from mailbox.views.pagination import FirstRows
from mailbox.views.requests import Refused, signed_in_user

SHOWN = 50
LISTED = ("pk", "received_at", "sender", "subject", "size", "seen", "flagged", "answered", "message_id")
LIST_HEAD = ("account", *LISTED)
TYPES = {Export.Form.CSV: "text/csv; charset=utf-8"} | {
    Export.Form.ZIP: "application/zip",
    Export.Form.MBOX: "application/mbox; format=mboxrd",
}


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Start an export. The URL has the query of a list or search; the page shows its size and asks for the format."""
    require_role_somewhere(request.user, Role.OPERATOR)
    user, selection = signed_in_user(request), _selection(request)
    if not selection.accounts(user).exists():
        raise PermissionDenied(gettext("Exporting mail needs the role operator for its account."))
    if request.method == "POST":
        form, key = request.POST.get("form", ""), _key(request.POST.get("key", ""))
        if form in Export.MAIL_FORMS and key:
            return redirect("mailbox:export", requests.begin(selection, form, user, key, timezone.now()).pk)
        notices.warning(request, gettext("Choose the form of the file."))
    context = {
        "found": estimate(selection, user),
        "forms": [(form.value, form.label) for form in Export.MAIL_FORMS],
        "key": uuid.uuid4(),
    }
    context |= {
        "about": _about(selection),
        "back": _back(selection),
        "query": selection.query,
        "kept_days": writing.KEPT.days,
    }
    return render(request, "mailbox/exports/new.html", context)


def _key(given: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(given)
    except ValueError:
        return None


def _about(selection: Selection) -> list[tuple[str, str]]:
    """What the export contains, in words: (name, value)."""
    about = [(gettext("Search"), selection.q)] if selection.q else []
    if selection.folder:
        folder = Folder.objects.select_related("account").filter(pk=int(selection.folder)).first()
        about += [(gettext("Folder"), f"{folder.account.email} / {folder.name}")] if folder else []
    elif selection.account:
        about += [(gettext("Account"), Account.objects.values_list("email", flat=True).get(pk=int(selection.account)))]
    return about + ([(gettext("Marks"), str(TEAM_FILTERS[selection.team]))] if selection.team else [])


def _back(selection: Selection) -> str:
    return f"{reverse('mailbox:search' if selection.q else 'mailbox:messages')}?{selection.query}"


@require_safe
def messages_csv(request: HttpRequest) -> HttpResponseBase:
    """The message list as a CSV file; any viewer may have it."""
    user, selection = signed_in_user(request), _selection(request)
    rows = list(islice(chain.from_iterable(selection.walk(user, Role.VIEWER)), MOST + 1))
    if len(rows) > MOST:
        return by_workers(request, "messages")
    return csv_file("messages", LIST_HEAD, map(_listed, rows))


def messages_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the message list for a file that workers make."""
    before = (datetime.fromisoformat(after[0]), after[1]) if after else None
    found = _selection(request).page(signed_in_user(request), before, PAGE, Role.VIEWER)
    following = [found.next[0].isoformat(), found.next[1]] if found.next else None
    return ListPage([_listed(row) for row in found.rows], {row.account_id for row in found.rows}, following)


def _listed(row: Message) -> list[object]:
    return [row.account.email, *(getattr(row, name) for name in LISTED)]


def _selection(request: HttpRequest) -> Selection:
    try:
        return Selection.of(request.GET.urlencode())
    except SelectionInvalid as error:
        raise Refused(str(error)) from error


@require_safe
def exports(request: HttpRequest) -> HttpResponse:
    """The newest exports of the user; for administrators of all those of others as well."""
    user = signed_in_user(request)
    rows = FirstRows[Export](Export.objects.filter(requests.seen_by(user)).select_related("user"), SHOWN)
    for each in rows:
        _shown(each)
    return render(request, "mailbox/exports/list.html", {"rows": rows})


@require_safe
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one export; for htmx the part that changes."""
    found = _find(request, pk)
    template = "mailbox/exports/_export.html" if request.headers.get("HX-Request") else "mailbox/exports/export.html"
    context = {"export": _shown(found), "may_read": requests.may_read(signed_in_user(request), found)}
    return render(request, template, context)


def _shown(export: Export) -> Export:
    """Set `words`, its contents, and `reason`, why it waits or failed, in the reader's language."""
    given: dict[str, Any] = {"reason": gettext(export.error) if export.error else "", "words": gettext("All messages")}
    if export.what == Export.What.SEARCH:
        about = _words_of(export.query)
        given["words"] = about or given["words"]
    elif export.what == Export.What.LIST:
        given["words"] = str(TITLES.get(QueryDict(export.query).get("list", ""), export.get_what_display()))
    else:
        given["words"] = export.get_what_display()
    given["is_ready"] = export.finished_at is not None and not export.error
    vars(export).update(given)
    return export


def _words_of(query: str) -> str:
    try:
        return listed(line for _, line in _about(Selection.of(query)))
    except (SelectionInvalid, Account.DoesNotExist):
        return query


@require_safe
def file(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Download the file as a stream. The user must be allowed to read everything in it."""
    found = _readable(request, pk)
    if not _is_ready(found):
        return _not_ready(request, pk)
    requests.note("export_downloaded", found, signed_in_user(request))
    response = StreamingHttpResponse(requests.pieces(found), content_type=TYPES[Export.Form(found.form)])
    response["Content-Length"] = str(found.size)
    return _attached(response, f"{'list' if found.what == Export.What.LIST else 'mail'}-{found.pk}.{found.form}")


@require_safe
def manifest_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The manifest as CSV; the export's page with a message where there is no file to download."""
    found = _readable(request, pk)
    if not _is_ready(found):
        return _not_ready(request, pk)
    lines = lines_of(manifest.COLUMNS, manifest.cells(writing.lines_of(found)))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    return _attached(response, f"mail-{found.pk}-manifest.csv")


def _attached(response: HttpResponseBase, name: str) -> HttpResponseBase:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def _is_ready(export: Export) -> bool:
    return export.finished_at is not None and not export.error and (export.ends_at or timezone.now()) > timezone.now()


def _not_ready(request: HttpRequest, pk: int) -> HttpResponse:
    notices.warning(request, gettext("There is no such file now."))
    return redirect("mailbox:export", pk)


def _readable(request: HttpRequest, pk: int) -> Export:
    found = _find(request, pk)
    if not requests.may_read(signed_in_user(request), found):
        raise PermissionDenied(gettext("It holds mail of accounts that you may not read."))
    return found


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove an export and its file after a confirmation."""
    found = _find(request, pk)
    question = Question(
        title=gettext("Remove this export?"),
        consequence=gettext("The file can no longer be downloaded. The messages themselves stay."),
        button=gettext("Remove the export"),
        back=reverse("mailbox:export", args=[pk]),
    )
    if asked := asks_first(request, question):
        return asked
    requests.remove(found, signed_in_user(request))
    notices.success(request, gettext("The export is removed."))
    return redirect("mailbox:exports")


def _find(request: HttpRequest, pk: int) -> Export:
    found = Export.objects.select_related("user").filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such export.")
    if not Export.objects.filter(requests.seen_by(signed_in_user(request)), pk=pk).exists():
        raise PermissionDenied(gettext("Whoever asked for it may look at it, and administrators of all accounts."))
    return found
