"""Clicks on outbox rows: retry, send now, cancel, decide; for one row or for those ticked. outbox.api has the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.contrib import messages as notices
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_POST

from mailbox.lazy_text import spoken
from mailbox.permissions import Role, require_role_somewhere
from mailbox.views.pagination import MAX_LIMIT
from mailbox.views.requests import back_to, signed_in_user
from outbox import api
from outbox.actions import bulk as actions_bulk
from outbox.actions import estimate, results, transitions
from outbox.actions.transitions import ShownState
from outbox.models import OutboxMessage
from outbox.views.selection import find_row, operated_accounts, seen_by
from outbox.views.status import sentence_of

Act = Callable[[int, User, ShownState], api.ApiResponse]
_NUMBER_LENGTH = 18


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _NUMBER_LENGTH else None


def seen_on(request: HttpRequest) -> ShownState:
    """The attempt that the button's form asked about."""
    return ShownState(_number(request.POST.get("attempt", "")))


def _retry(pk: int, user: User, seen: ShownState, drill: str = "") -> api.ApiResponse:
    return api.request_retry(pk, drill, user=user, seen=seen)


def _now(pk: int, user: User, seen: ShownState, drill: str = "") -> api.ApiResponse:
    return api.request_retry(pk, drill, user=user, now_anyway=True, seen=seen)


def _cancel(pk: int, user: User, seen: ShownState) -> api.ApiResponse:
    return api.cancel(pk, user=user, seen=seen)


def _click(request: HttpRequest, pk: int, act: Act, done: str | Callable[[OutboxMessage], str]) -> HttpResponse:
    row = find_row(request, pk, Role.OPERATOR)
    response = act(row.pk, signed_in_user(request), seen_on(request))
    if response.ok:
        said = done if isinstance(done, str) else done(transitions.find_row(row.pk))
        notices.success(request, f"“{row.subject[:80]}”: {said}")
    else:
        notices.error(request, f"“{row.subject[:80]}”: {refusal(response, row)}")
    return redirect(back_to(request, reverse("outbox:detail", args=[pk])))


def refusal(response: api.ApiResponse, row: OutboxMessage | None = None) -> str:
    """The refusal as a sentence for a page. Its first words are for scripts."""
    said = response.error.message if response.error else gettext("It was refused without a reason.")
    if not said.startswith(transitions.NOT_DUE):
        plain = said.removeprefix(transitions.NOT_RETRYABLE)
        return plain[:1].upper() + plain[1:]
    left = (row.next_attempt_at - timezone.now()).total_seconds() if row else 0
    if left <= 0:
        return gettext("It is not due yet; the next attempt is soon. “Send now anyway” does not wait.")
    words = gettext("It is not due yet; the next attempt is in %(time)s. “Send now anyway” does not wait.")
    return words % {"time": spoken(left)}


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """`failure_mode`, of staff only, makes this one attempt a drill."""
    drill = request.POST.get("failure_mode", "")[:20]
    done = gettext("handed to a worker, which tries it again.")
    return _click(request, pk, lambda pk, user, seen: _retry(pk, user, seen, drill), done)


@require_POST
def send_now(request: HttpRequest, pk: int) -> HttpResponse:
    drill = request.POST.get("failure_mode", "")[:20]
    done = gettext("handed to a worker, which sends it now.")
    return _click(request, pk, lambda pk, user, seen: _now(pk, user, seen, drill), done)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return _click(request, pk, _cancel, lambda row: sentence_of(row, timezone.now()))


def _decide(request: HttpRequest, pk: int, act: Callable[[int, int, User], api.ApiResponse], done: str) -> HttpResponse:
    """An answer to the question what became of one attempt; without its number it answers nothing."""
    attempt = seen_on(request).attempt
    if attempt is None:
        find_row(request, pk, Role.OPERATOR)
        notices.error(request, gettext("The page did not say which attempt it asked about. Nothing was changed."))
        return redirect("outbox:detail", pk)
    return _click(request, pk, lambda pk, user, seen: act(pk, attempt, user), done)


@require_POST
def mark_as_sent(request: HttpRequest, pk: int) -> HttpResponse:
    done = gettext("marked as sent. It is not tried again.")
    return _decide(request, pk, lambda pk, attempt, user: api.mark_as_sent(pk, attempt, user=user), done)


@require_POST
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    done = gettext("handed to a worker, which sends it again with the same Message-ID.")
    return _decide(request, pk, lambda pk, attempt, user: api.send_again(pk, attempt, user=user), done)


BULK: dict[str, Act] = {"retry": _retry, "send_now": _now, "cancel": _cancel}


@dataclass
class Clicked:
    """What a click on several rows did: the rows, each with the number its next attempt has, and why not the others."""

    done: dict[int, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """One action for the ticked rows, and an honest count of what came of it."""
    require_role_somewhere(request.user, Role.OPERATOR)
    back = back_to(request, reverse("outbox:list"))
    chosen = _ticked(request)
    verb = request.POST.get("action", "")
    act = BULK.get(verb)
    if act is None or not chosen or len(chosen) > MAX_LIMIT:
        said = gettext("Tick up to %(number)s rows first, then choose what to do with them. Nothing was changed.")
        notices.warning(request, said % {"number": MAX_LIMIT})
        return redirect(back)
    clicked = act_on(request, chosen, act)
    said = results.honest(verb, len(clicked.done), clicked.skipped)
    if verb not in results.HANDED_OVER or not clicked.done:
        (notices.warning if clicked.skipped else notices.success)(request, said)
        return redirect(back)
    operation = actions_bulk.finished(verb, signed_in_user(request), clicked.done, clicked.skipped, timezone.now())
    return redirect(_followed(back, operation.pk))


def _followed(address: str, operation_id: int) -> str:
    """The list's address, with the operation whose outcome it shows."""
    parts = urlsplit(address)
    query = QueryDict(parts.query, mutable=True)
    query["operation"] = str(operation_id)
    return f"{parts.path}?{query.urlencode()}"


def _ticked(request: HttpRequest) -> dict[int, ShownState]:
    """Of each ticked box: the row's key and, behind a point, the number of its newest attempt when it was shown."""
    found = {}
    for value in request.POST.getlist("pk"):
        key, _point, attempt = value.partition(".")
        if (pk := _number(key)) is not None:
            found[pk] = ShownState(_number(attempt))
    return found


def act_on(request: HttpRequest, chosen: Mapping[int, ShownState], act: Act) -> Clicked:
    """Act on each row the user may operate, if it is still as it was seen."""
    user, operated = signed_in_user(request), operated_accounts(request)
    rows = {row.pk: row for row in seen_by(request).filter(pk__in=chosen).defer("body_text", "body_html")}
    clicked = Clicked()
    for pk, seen in chosen.items():
        row = rows.get(pk)
        if row is None:
            clicked.skipped[gettext_noop("there is no such mail")] += 1
        elif row.account_id not in operated:
            clicked.skipped[estimate.NOT_YOURS] += 1
        elif row.hold == OutboxMessage.Hold.UNCERTAIN:
            # A bulk click must never send twice what may have gone out: only a look at each row decides.
            clicked.skipped[estimate.DECISION] += 1
        else:
            response = act(pk, user, seen)
            if response.ok:
                clicked.done[pk] = row.last_attempt + 1
            else:
                clicked.skipped[_in_bulk(response)] += 1
    return clicked


def _in_bulk(response: api.ApiResponse) -> str:
    """One reason for all rows that share it: the time left differs by row, the reason does not."""
    said = response.error.message if response.error else ""
    if said.startswith(transitions.NOT_DUE):
        return estimate.NOT_DUE
    return estimate.CHANGED if said == str(transitions.CHANGED_MEANWHILE) else refusal(response).rstrip(".")
