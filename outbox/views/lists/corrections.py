"""The page that corrects the addresses of refused mails: a field for each address, and a new domain for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_http_methods

from mailbox.localized import grouped
from mailbox.models import audit_part
from mailbox.permissions import Role, require_role_somewhere
from mailbox.views.requests import number_of, signed_in_user
from outbox.actions import correcting
from outbox.actions.filters import OutboxFilters
from outbox.actions.transitions import ShownState
from outbox.errors import OutboxError
from outbox.models import OutboxMessage, OutboxRecipient
from outbox.models.messages import OutboxQuerySet
from outbox.tasks import delivery as delivery_tasks
from outbox.views.mail.actions import number_in
from outbox.views.status import first_line
from outbox.views.visible_rows import chips, read_filters, seen_by, visible_accounts

AT_ONCE = 50  # mails of a page
TEXT_LIMIT = 320


@dataclass(frozen=True)
class AddressField:
    """The field for one recipient's address, with its value."""

    recipient: OutboxRecipient
    value: str

    @property
    def name(self) -> str:
        """The name of its input."""
        return f"to-{self.recipient.pk}"


@dataclass(frozen=True)
class RefusedMail:
    """A refused mail with a field for each recipient that lacks it."""

    row: OutboxMessage
    error: str  # what its server said
    fields: list[AddressField]
    refusal: str = ""  # why it was not corrected


@require_http_methods(["GET", "HEAD", "POST"])
def correct(request: HttpRequest) -> HttpResponse:
    """The refused mails that the filters of the list match, or `?row=` alone; `?new_domain=` fills the fields.

    A POST queues each mail with a changed address.
    """
    require_role_somewhere(request.user, Role.OPERATOR)
    filters = replace(read_filters(request), state="failed_for_good", reason="")
    refusals = _correct_posted(request) if request.method == "POST" else {}
    if refusals is None:
        return redirect(f"{reverse('outbox:list')}?{replace(filters, said='').query()}")
    rows, number = _rows(request, filters, refusals)
    _tell_of_gone(request, rows, refusals)
    mails = [_shown(request, row, refusals.get(row.pk, "")) for row in rows]
    context = {
        "mails": mails,
        "number": number,
        "filters": filters,
        "chips": chips(filters, visible_accounts(request)),
        "only": number_of(request, "row"),
        "domain": _one_domain(mails),
        "new_domain": _new_domain(request),
        "query": filters.query(),
    }
    return render(request, "outbox/correct.html", context)


def _rows(request: HttpRequest, filters: OutboxFilters, refused_now: dict[int, str]) -> tuple[list[OutboxMessage], int]:
    """The rows of the page, and how many match. After a POST only those that could not be corrected (`refused_now`)."""
    rows = filters.of_state(filters.narrow(correcting.correctable(_operated(request)), timezone.now()))
    if only := number_of(request, "row"):
        rows = rows.filter(pk=only)
    if refused_now:
        rows = rows.filter(pk__in=refused_now)
    page = rows.order_by("-pk").select_related("account").defer("body_text", "body_html")
    return list(page.prefetch_related("recipients")[:AT_ONCE]), rows.count()


def _tell_of_gone(request: HttpRequest, rows: list[OutboxMessage], refusals: dict[int, str]) -> None:
    """Show the reasons of mails that are no longer listed as messages above the list."""
    shown = {row.pk for row in rows}
    for reason in dict.fromkeys(said for pk, said in refusals.items() if pk not in shown):
        notices.warning(request, reason)


def _operated(request: HttpRequest) -> OutboxQuerySet:
    return seen_by(request, Role.OPERATOR)


def _shown(request: HttpRequest, row: OutboxMessage, refusal: str) -> RefusedMail:
    fields = [AddressField(each, _value(request, each)) for each in correcting.lacking(row)]
    return RefusedMail(row, first_line(row.error), fields, refusal)


def _value(request: HttpRequest, recipient: OutboxRecipient) -> str:
    typed = request.POST.get(f"to-{recipient.pk}")
    if typed is not None:
        return typed[:TEXT_LIMIT]
    domain = _new_domain(request)
    return f"{recipient.address.rpartition('@')[0]}@{domain}" if domain else recipient.address


def _new_domain(request: HttpRequest) -> str:
    return request.GET.get("new_domain", "").replace("\0", "").strip().lstrip("@")[:TEXT_LIMIT]


def _one_domain(mails: list[RefusedMail]) -> str:
    """The domain that all addresses of the page share, or ""."""
    domains = {each.recipient.address.rpartition("@")[2].lower() for mail in mails for each in mail.fields}
    return domains.pop() if len(domains) == 1 else ""


def _correct_posted(request: HttpRequest) -> dict[int, str] | None:
    """Correct the mails of the page, each in its own transaction.

    Returns the reasons by pk of those that could not be corrected, {} if nothing was changed, None if all is done.
    """
    shown = list(_posted_rows(request))[:AT_ONCE]
    refusals = dict[int, str]()
    with audit_part.one_click(signed_in_user(request), "ticked_correct_address", len(shown)) as click:
        for pk, seen in shown:
            try:
                click.done += _correct_one(request, pk, seen)
            except OutboxError as refused:
                refusals[pk] = str(refused)
    if click.done:
        delivery_tasks.queue_delivery()
        notices.success(request, _told(click.done))
    elif not refusals:
        notices.info(request, gettext("No address was changed, so nothing was sent."))
        return {}
    return refusals or None


def _told(done: int) -> str:
    return ngettext(
        "%(number)s mail is queued to its corrected address; the refused one is cancelled.",
        "%(number)s mails are queued to their corrected addresses; the refused ones are cancelled.",
        done,
    ) % {"number": grouped(done)}


def _correct_one(request: HttpRequest, pk: int, seen: ShownState) -> bool:
    given = {number_in(name.removeprefix("to-")): name for name in request.POST if name.startswith("to-")}
    typed = {key: request.POST[name][:TEXT_LIMIT] for key, name in given.items() if key is not None}
    user = signed_in_user(request)
    return correcting.correct(pk, typed, user=user, now=timezone.now(), seen=seen) is not None


def _posted_rows(request: HttpRequest) -> Iterator[tuple[int, ShownState]]:
    """The mails of the form that the user operates, each with the attempt that the page showed."""
    given = dict(value.partition(".")[::2] for value in request.POST.getlist("row"))
    shown = {pk: number_in(attempt) for text, attempt in given.items() if (pk := number_in(text)) is not None}
    for pk in _operated(request).filter(pk__in=shown).order_by("-pk").values_list("pk", flat=True):
        if (attempt := shown[pk]) is not None:
            yield pk, ShownState(attempt)
