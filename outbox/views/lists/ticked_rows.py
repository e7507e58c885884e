"""Actions on the rows that are ticked in the list. outbox.api has the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.contrib import messages as notices
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop, ngettext
from django.views.decorators.http import require_POST

from mailbox.localized import grouped
from mailbox.models import audit_part
from mailbox.permissions import Role, require_role_somewhere
from mailbox.views.confirmation import Question, asks_first
from mailbox.views.pagination import MAX_LIMIT
from mailbox.views.requests import back_to, signed_in_user
from outbox import api
from outbox.actions import bulk as actions_bulk
from outbox.actions import estimate, results, transitions
from outbox.actions.transitions import ShownState
from outbox.models import Operation, OutboxMessage
from outbox.views.lists.bulk import CONSEQUENCES
from outbox.views.mail.actions import Act, ask_cancel, ask_retry, number_in, refusal
from outbox.views.visible_rows import operated_accounts, seen_by

Verb = Operation.Verb
ASKED = (Verb.CANCEL, *estimate.ANSWERS)  # irreversible actions: the page asks before them


def _mark_as_sent(pk: int, user: User, seen: ShownState) -> api.ApiResponse:
    return _changed() if seen.attempt is None else api.mark_as_sent(pk, seen.attempt, user=user)


def _send_again(pk: int, user: User, seen: ShownState) -> api.ApiResponse:
    return _changed() if seen.attempt is None else api.send_again(pk, seen.attempt, user=user)


def _changed() -> api.ApiResponse:
    """The refusal for a box without the number of the shown attempt, as a decision must be about one attempt."""
    return api.ApiResponse(False, None, api.ApiError("Validation", str(transitions.CHANGED_MEANWHILE)))


ACTS: dict[str, Act] = {
    Verb.RETRY: ask_retry,
    Verb.SEND_NOW: ask_retry,
    Verb.CANCEL: ask_cancel,
    Verb.MARK: _mark_as_sent,
    Verb.SEND_AGAIN: _send_again,
}


@dataclass
class RowsActedOn:
    """The result. done: outbox pk -> number of its next attempt. skipped: reason -> number of rows."""

    done: dict[int, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """Do an action on the ticked rows; or (`scope=all`) redirect to the page that asks about all matching rows."""
    require_role_somewhere(request.user, Role.OPERATOR)
    back = back_to(request, reverse("outbox:list"))
    verb, chosen = request.POST.get("action", ""), _ticked(request)
    if request.POST.get("scope") == "all":
        filters = [pair for pair in parse_qsl(request.POST.get("filters", "")) if pair[0] != "action"]
        return redirect(f"{reverse('outbox:bulk_all')}?{urlencode([*filters, ('action', verb)])}")
    if verb not in ACTS or not chosen or len(chosen) > MAX_LIMIT:
        said = gettext("Tick up to %(number)s rows first, then choose what to do with them. Nothing was changed.")
        notices.warning(request, said % {"number": MAX_LIMIT})
        return redirect(back)
    asked = asks_first(request, _question(request, verb, chosen, back)) if verb in ASKED else None
    return asked or _answer(request, verb, chosen, back)


def _answer(request: HttpRequest, verb: str, chosen: Mapping[int, ShownState], back: str) -> HttpResponse:
    acted = _recorded(request, chosen, verb)
    said = results.counts_in_words(verb, len(acted.done), acted.skipped)
    if verb not in results.HANDED_OVER or not acted.done:
        (notices.warning if acted.skipped else notices.success)(request, said)
        return redirect(back)
    operation = actions_bulk.finished(verb, signed_in_user(request), acted.done, acted.skipped, timezone.now())
    return redirect(_followed(back, operation.pk))


def _recorded(request: HttpRequest, chosen: Mapping[int, ShownState], verb: str) -> RowsActedOn:
    """Act on the rows; for several, record one entry in the activity, with the entry of each row as its part."""
    if len(chosen) == 1:
        return act_on(request, chosen, verb)
    with audit_part.one_click(signed_in_user(request), f"ticked_{verb}", len(chosen)) as click:
        acted = act_on(request, chosen, verb)
        click.done = len(acted.done)
    return acted


def _question(request: HttpRequest, verb: str, chosen: Mapping[int, ShownState], back: str) -> Question:
    number, label = len(chosen), Verb(verb).label
    title = ngettext("%(verb)s: %(number)s mail?", "%(verb)s: %(number)s mails?", number)
    button = ngettext("%(verb)s: %(number)s mail", "%(verb)s: %(number)s mails", number)
    words = {"verb": label, "number": grouped(number)}
    about = seen_by(request).filter(pk__in=chosen).order_by("-pk").values_list("subject", "to")
    return Question(title % words, CONSEQUENCES[verb], button % words, back, list(about))


def _followed(address: str, operation_id: int) -> str:
    """The URL of the list with `?operation=`, so that it shows the outcome of that operation."""
    parts = urlsplit(address)
    query = QueryDict(parts.query, mutable=True)
    query["operation"] = str(operation_id)
    return f"{parts.path}?{query.urlencode()}"


def _ticked(request: HttpRequest) -> dict[int, ShownState]:
    """The ticked rows. The value of a box is "pk.attempt", with the newest attempt's number when it was shown."""
    found = {}
    for value in request.POST.getlist("pk"):
        key, _point, attempt = value.partition(".")
        if (pk := number_in(key)) is not None:
            found[pk] = ShownState(number_in(attempt))
    return found


def act_on(request: HttpRequest, chosen: Mapping[int, ShownState], verb: str) -> RowsActedOn:
    """Act on each row that the user may operate and that has not changed since it was shown."""
    user, operated = signed_in_user(request), operated_accounts(request)
    rows = {row.pk: row for row in seen_by(request).filter(pk__in=chosen).defer("body_text", "body_html")}
    acted = RowsActedOn()
    for pk, seen in chosen.items():
        row = rows.get(pk)
        reason = gettext_noop("there is no such mail") if row is None else _reason_to_skip(row, verb, operated)
        if row is None or reason:
            acted.skipped[reason] += 1
            continue
        response = ACTS[verb](pk, user, seen)
        if response.ok:
            acted.done[pk] = row.last_attempt + 1
        else:
            acted.skipped[_in_bulk(response)] += 1
    return acted


def _reason_to_skip(row: OutboxMessage, verb: str, operated: set[int]) -> str:
    """Why a row is skipped without a call of outbox.api, or ""."""
    if row.account_id not in operated:
        return estimate.NOT_YOURS
    is_question = row.hold == OutboxMessage.Hold.UNCERTAIN
    if verb in estimate.ANSWERS:
        return "" if is_question else estimate.NO_QUESTION
    return estimate.DECISION if is_question else ""


def _in_bulk(response: api.ApiResponse) -> str:
    """The reason of a refusal, in the words of bulk actions, so that equal reasons are counted together."""
    said = response.error.message if response.error else ""
    return estimate.CHANGED if said == str(transitions.CHANGED_MEANWHILE) else refusal(response).rstrip(".")
