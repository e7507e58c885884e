"""Clicks on outbox rows: retry, send now, cancel, decide; for one row or for those ticked. outbox.api has the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from django.contrib import messages as notices
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_POST

from mailbox.lazy_text import spoken
from mailbox.permissions import Role
from mailbox.views.pagination import MAX_LIMIT
from mailbox.views.requests import back_to, signed_in_user
from outbox import api
from outbox.actions import bulk as actions_bulk
from outbox.actions import transitions
from outbox.models import OutboxMessage
from outbox.views.selection import find_row, operated_accounts, seen_by
from outbox.views.status import sentence_of

Act = Callable[[int, User], api.ApiResponse]


def _retry(pk: int, user: User, drill: str = "") -> api.ApiResponse:
    return api.request_retry(pk, drill, user=user)


def _now(pk: int, user: User, drill: str = "") -> api.ApiResponse:
    return api.request_retry(pk, drill, user=user, now_anyway=True)


def _cancel(pk: int, user: User) -> api.ApiResponse:
    return api.cancel(pk, user=user)


def _mark(pk: int, user: User) -> api.ApiResponse:
    return api.mark_as_sent(pk, user=user)


def _again(pk: int, user: User) -> api.ApiResponse:
    return api.send_again(pk, user=user)


def _click(request: HttpRequest, pk: int, act: Act, done: str | Callable[[OutboxMessage], str]) -> HttpResponse:
    row = find_row(request, pk, Role.OPERATOR)
    response = act(row.pk, signed_in_user(request))
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
    return _click(request, pk, lambda pk, user: _retry(pk, user, drill), gettext("a worker tries it again now."))


@require_POST
def send_now(request: HttpRequest, pk: int) -> HttpResponse:
    drill = request.POST.get("failure_mode", "")[:20]
    return _click(request, pk, lambda pk, user: _now(pk, user, drill), gettext("a worker sends it now."))


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return _click(request, pk, _cancel, lambda row: sentence_of(row, timezone.now()))


@require_POST
def mark_as_sent(request: HttpRequest, pk: int) -> HttpResponse:
    return _click(request, pk, _mark, gettext("marked as sent. It is not tried again."))


@require_POST
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    return _click(request, pk, _again, gettext("a worker sends it again, with the same Message-ID."))


BULK: dict[str, Act] = {"retry": _retry, "send_now": _now, "cancel": _cancel}


@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """One action for the ticked rows, and an honest count of what came of it."""
    back = back_to(request, reverse("outbox:list"))
    chosen = [int(pk) for pk in request.POST.getlist("pk") if pk.isascii() and pk.isdigit() and len(pk) <= 18]
    verb = request.POST.get("action", "")
    act = BULK.get(verb)
    if act is None or not chosen or len(chosen) > MAX_LIMIT:
        said = gettext("Tick up to %(number)s rows first, then choose what to do with them. Nothing was changed.")
        notices.warning(request, said % {"number": MAX_LIMIT})
        return redirect(back)
    number, skipped = act_on(request, chosen, act)
    (notices.warning if skipped else notices.success)(request, actions_bulk.honest(verb, number, skipped))
    return redirect(back)


def act_on(request: HttpRequest, chosen: list[int], act: Act) -> tuple[int, Counter[str]]:
    """Act on each row the user may operate; return how many it was done for, and why not for the others."""
    user, operated = signed_in_user(request), operated_accounts(request)
    rows = {row.pk: row for row in seen_by(request).filter(pk__in=chosen).defer("body_text", "body_html")}
    number, skipped = 0, Counter[str]()
    for pk in dict.fromkeys(chosen):
        row = rows.get(pk)
        if row is None:
            skipped[gettext_noop("there is no such mail")] += 1
        elif row.account_id not in operated:
            skipped[actions_bulk.NOT_YOURS] += 1
        elif row.hold == OutboxMessage.Hold.UNCERTAIN:
            # A bulk click must never send twice what may have gone out: only a look at each row decides.
            skipped[actions_bulk.DECISION] += 1
        else:
            response = act(pk, user)
            if response.ok:
                number += 1
            else:
                skipped[_in_bulk(response)] += 1
    return number, skipped


def _in_bulk(response: api.ApiResponse) -> str:
    """One reason for all rows that share it: the time left differs by row, the reason does not."""
    if response.error and response.error.message.startswith(transitions.NOT_DUE):
        return actions_bulk.NOT_DUE
    return refusal(response).rstrip(".")
