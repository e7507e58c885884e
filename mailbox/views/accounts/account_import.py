"""Import of accounts from a table: upload, preview of each line, confirmation with the same file, result.

The file may contain secrets, so it is not stored between the two steps: the person chooses it again, and its digest is
compared.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from mailbox.accounts import declared, declared_table
from mailbox.accounts.connection_tests import ask_for_tests
from mailbox.accounts.declared import DeclarationOutcome
from mailbox.accounts.declared_csv import TableRow, UnreadableTable, read_table
from mailbox.accounts.declared_table import LineOutcome
from mailbox.models import Account, audit_part
from mailbox.views.accounts.account_edit import queue_first_look
from mailbox.views.accounts.autoconfig import require_administrator
from mailbox.views.activity.audit import record
from mailbox.views.csv_export import csv_file
from mailbox.views.requests import signed_in_user

MOST_BYTES = 256 * 1024
MOST_ACCOUNTS = 200
WORDS = {
    "made": ("fine", _("Add")),
    "changed": ("waiting", _("Change")),
    "unchanged": ("fine", _("As it is")),
    "refused": ("broken", _("Refused")),
}
DONE = {"made": _("Added"), "changed": _("Changed")}
ORDER = list(WORDS)
COLUMNS = ["email", "display_name", "imap_host", "imap_port", "smtp_host", "smtp_port", "smtp_security", "user"]
COLUMNS += ["password", "oauth_token", "sync_enabled", "send_enabled", "push_enabled"]
EXAMPLE = [
    ["ann@example.com", "Ann", "imap.example.com", 993, "smtp.example.com", 465, "tls", "", "ann's password"],
    ["ops@example.com", "", "imap.example.com", 993, "smtp.example.com", 587, "starttls", "ops", "its password"],
]


class ImportForm(forms.Form):
    """The uploaded file; a valid form has its lines in `rows`."""

    file = forms.FileField(
        label=_("CSV file"),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={"required": _("Choose the file: it is kept nowhere here, as passwords may stand in it.")},
    )

    def clean_file(self) -> bytes:
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > MOST_BYTES:
            most = filesizeformat(MOST_BYTES)
            raise forms.ValidationError(
                gettext("The file is larger than %(size)s: import it in parts.") % {"size": most}
            )
        content = bytes(file.read())
        try:
            self.rows = read_table(content, declared.IN_FILE.known, declared.IN_FILE.names)
        except UnreadableTable as error:
            raise forms.ValidationError(str(error)) from None
        if not self.rows:
            raise forms.ValidationError(gettext("The file names no account below its first line."))
        if len(self.rows) > MOST_ACCOUNTS:
            words = ngettext(
                "A file has at most %(most)s account: import it in parts.",
                "A file has at most %(most)s accounts: import it in parts.",
                MOST_ACCOUNTS,
            )
            raise forms.ValidationError(words % {"most": MOST_ACCOUNTS})
        return content

    rows: list[TableRow]


@require_http_methods(["GET", "HEAD", "POST"])
def import_accounts(request: HttpRequest) -> HttpResponse:
    """GET: the upload form. POST of a file: the preview. POST of the file with its digest: the import."""
    require_administrator(request)
    is_sent = request.method == "POST"
    form = ImportForm(request.POST if is_sent else None, request.FILES if is_sent else None)
    if not is_sent or not form.is_valid():
        return _page(request, form)
    digest = _digest(request, form.cleaned_data["file"])
    given = request.POST.get("digest", "")
    if given and constant_time_compare(given, digest):
        return _page(request, ImportForm(), _carried_out(request, form.rows), is_done=True)
    if given:
        form.add_error("file", gettext("This is another file than the one you looked at: nothing was imported."))
    return _page(request, form, declared_table.look_through(form.rows), digest=digest)


@require_safe
def example(request: HttpRequest) -> StreamingHttpResponse:
    """A table with the columns that an import takes and two lines, as CSV. Needs an administrator of all."""
    require_administrator(request)
    return csv_file("accounts-example", COLUMNS, [[*row, *[""] * (len(COLUMNS) - len(row))] for row in EXAMPLE])


def _digest(request: HttpRequest, content: bytes) -> str:
    """A keyed digest, different for each user: from a plain digest in the page a short secret could be guessed."""
    person = str(signed_in_user(request).pk).encode()
    return salted_hmac("mailbox.account_import", person + b"\0" + content, algorithm="sha256").hexdigest()


def _carried_out(request: HttpRequest, rows: list[TableRow]) -> list[LineOutcome]:
    made: list[Account] = []

    def note(outcome: DeclarationOutcome) -> None:
        if outcome.state == "unchanged":
            return
        account, is_new = outcome.account, outcome.state == "made"
        detail = account.email if is_new else ", ".join(outcome.changed)[:500]
        record(request, "add_account" if is_new else "edit_account", f"account:{account.pk}", account, detail)
        if is_new:
            made.append(account)
            queue_first_look(request, account)

    with audit_part.one_click(signed_in_user(request), "import_accounts", len(rows)) as click:
        outcomes = list(declared_table.carry_out(rows, note))
        click.done = sum(each.account is not None and each.state != "unchanged" for each in outcomes)
    ask_for_tests(made, signed_in_user(request))
    return outcomes


def _page(
    request: HttpRequest,
    form: ImportForm,
    outcomes: list[LineOutcome] | None = None,
    *,
    digest: str = "",
    is_done: bool = False,
) -> HttpResponse:
    counts = Counter(each.state for each in outcomes or ())
    lines = sorted(outcomes or (), key=lambda each: (each.state != "refused", each.line))
    context: dict[str, Any] = {
        "form": form,
        "lines": [(each, *_badge(each.state, is_done=is_done)) for each in lines],
        "counts": [(*_badge(state, is_done=is_done), counts[state]) for state in ORDER if counts[state]],
        "is_done": is_done,
        "is_tested": is_done and bool(counts["made"]),
        "digest": digest,
        "imported": counts["made"] + counts["changed"],
        "columns": COLUMNS,
        "more_columns": sorted(declared.IN_FILE.known - set(COLUMNS)),
        "most_accounts": MOST_ACCOUNTS,
        "most_bytes": MOST_BYTES,
    }
    return render(request, "mailbox/accounts/import.html", context)


def _badge(state: str, *, is_done: bool) -> tuple[str, str]:
    tone, words = WORDS[state]
    return tone, str(DONE.get(state, words) if is_done else words)
