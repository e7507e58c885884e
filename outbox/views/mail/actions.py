"""Buttons of one outbox row: retry, send now, cancel, and the decisions about uncertain mail.

outbox.actions.transitions has the rules.
"""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages as notices
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from mailbox.lazy_text import Words
from mailbox.permissions import Role
from mailbox.views.confirmation import Question, asks_first
from mailbox.views.requests import back_to, signed_in_user
from outbox import api
from outbox.actions import transitions
from outbox.actions.transitions import ShownState
from outbox.models import OutboxMessage
from outbox.views.sentences import sentence_of
from outbox.views.visible_rows import find_row

Act = Callable[[int, User, ShownState], api.ApiResponse]
_NUMBER_LENGTH = 18


def number_in(text: str) -> int | None:
    """The number in a form's text, None for anything else; at most 18 digits, which fit into a column of 64 bits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _NUMBER_LENGTH else None


def seen_on(request: HttpRequest) -> ShownState:
    """The number of the attempt that the page showed, from the button's form."""
    return ShownState(number_in(request.POST.get("attempt", "")))


def ask_retry(pk: int, user: User, seen: ShownState, drill: str = "") -> api.ApiResponse:
    """For "Retry" and "Send now": a person need not wait for the time of the next attempt."""
    return api.request_retry(pk, drill, user=user, now_anyway=True, seen=seen)


def ask_cancel(pk: int, user: User, seen: ShownState) -> api.ApiResponse:
    """Cancel a mail: the Act of the button here and of ticked rows."""
    return api.cancel(pk, user=user, seen=seen)


def _click(request: HttpRequest, pk: int, act: Act, done: str | Callable[[OutboxMessage], str]) -> HttpResponse:
    row = find_row(request, pk, Role.OPERATOR)
    response = act(row.pk, signed_in_user(request), seen_on(request))
    if response.ok:
        said = done if isinstance(done, str) else done(transitions.find_row(row.pk))
        notices.success(request, f"“{row.subject[:80]}”: {said}")
    else:
        notices.error(request, f"“{row.subject[:80]}”: {refusal(response)}")
    return redirect(back_to(request, reverse("outbox:detail", args=[pk])))


def refusal(response: api.ApiResponse) -> str:
    """The refusal as a sentence for a page, without the first words, which are for scripts."""
    said = response.error.message if response.error else gettext("It was refused without a reason.")
    plain = said.removeprefix(transitions.NOT_RETRYABLE)
    return plain[:1].upper() + plain[1:]


def _asks_first(
    request: HttpRequest, row: OutboxMessage, title: Words, consequence: Words, button: Words
) -> HttpResponse | None:
    back = back_to(request, reverse("outbox:detail", args=[row.pk]))
    return asks_first(request, Question(title, consequence, button, back, [(row.subject, row.to)]))


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Retry a mail. `failure_mode`, which only staff may give, makes this attempt a drill."""
    drill = request.POST.get("failure_mode", "")[:20]
    done = gettext("handed to a worker, which tries it again.")
    return _click(request, pk, lambda pk, user, seen: ask_retry(pk, user, seen, drill), done)


@require_POST
def send_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a mail before its time. `failure_mode`, which only staff may give, makes this attempt a drill."""
    drill = request.POST.get("failure_mode", "")[:20]
    done = gettext("handed to a worker, which sends it now.")
    return _click(request, pk, lambda pk, user, seen: ask_retry(pk, user, seen, drill), done)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel a pending or failed mail, but not an uncertain one, after a question."""
    row = find_row(request, pk, Role.OPERATOR)
    words = (_("Cancel this mail?"), _("It is never sent then."), _("Cancel the mail"))
    asked = _asks_first(request, row, *words)
    return asked or _click(request, pk, ask_cancel, lambda row: sentence_of(row, timezone.now()))


def _decide(
    request: HttpRequest,
    pk: int,
    act: Callable[[int, int, User], api.ApiResponse],
    question: tuple[Words, Words, Words],
    done: str,
) -> HttpResponse:
    """Apply a person's decision about an uncertain attempt; refused if the form does not name the attempt."""
    row, attempt = find_row(request, pk, Role.OPERATOR), seen_on(request).attempt
    if attempt is None:
        notices.error(request, gettext("The page did not say which attempt it asked about. Nothing was changed."))
        return redirect("outbox:detail", pk)
    asked = _asks_first(request, row, *question)
    return asked or _click(request, pk, lambda pk, user, seen: act(pk, attempt, user), done)


@require_POST
def mark_as_sent(request: HttpRequest, pk: int) -> HttpResponse:
    """Decide that an uncertain mail was sent, after a question."""
    done = gettext("marked as sent. It is not tried again.")
    words = (_("Mark this mail as sent?"), _("It is not tried again. Do this only when you know that it arrived."))
    question = (*words, _("Mark as sent"))
    return _decide(request, pk, lambda pk, attempt, user: api.mark_as_sent(pk, attempt, user=user), question, done)


@require_POST
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Decide that an uncertain mail is sent once more, with the same Message-ID, after a question."""
    done = gettext("handed to a worker, which sends it again with the same Message-ID.")
    words = (_("Send this mail again?"), _("The recipient may get it twice: whether the first one arrived is unknown."))
    question = (*words, _("Send again"))
    return _decide(request, pk, lambda pk, attempt, user: api.send_again(pk, attempt, user=user), question, done)
