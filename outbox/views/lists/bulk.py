"""One action on all that match: what it would do, the confirmation, how far it is, and what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages as notices
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from mailbox.permissions import Role, has_role_everywhere, require_role_somewhere
from mailbox.views.requests import signed_in_user
from outbox.actions import bulk as actions_bulk
from outbox.actions import estimate, results
from outbox.models import Operation
from outbox.tasks import bulk as bulk_tasks
from outbox.views.status import TAB_BY_NAME
from outbox.views.visible_rows import chips, read_filters, visible_accounts

FOLLOWED_FOR = timedelta(minutes=15)  # after this time the page no longer polls for the outcomes
CONSEQUENCES = {
    "retry": _("A worker tries each of them again now."),
    "send_now": _("A worker sends each of them now, without waiting for its time."),
    "cancel": _("They are cancelled for good and never sent."),
    "send_again": _("The recipients may get them twice: whether the first ones arrived is unknown."),
    "mark_as_sent": _("They count as sent and are not tried again. Do this only when you know that they arrived."),
}


@require_http_methods(["GET", "HEAD", "POST"])
def bulk_all(request: HttpRequest) -> HttpResponse:
    """Ask about `?action=` on all rows that match the filters of the list. A POST of the answer begins it."""
    require_role_somewhere(request.user, Role.OPERATOR)
    filters, verb, user, now = (
        read_filters(request),
        request.GET.get("action", ""),
        signed_in_user(request),
        timezone.now(),
    )
    if verb not in Operation.Verb.values:
        notices.warning(request, gettext("Choose what to do with all that match. Nothing was changed."))
        return redirect(f"{reverse('outbox:list')}?{filters.query()}")
    if request.method == "POST":
        begun = _begin(request, filters.query(), verb)
        if begun is not None:
            return redirect("outbox:operation", begun.pk)
        notices.warning(request, gettext("What matches has changed since the page asked. Look at the number again."))
    asked, found = estimate.ask(filters, verb, user, now, estimate.operated_by(user))
    context = {
        "verb": verb,
        "label": Operation.Verb(verb).label,
        "consequence": CONSEQUENCES[verb],
        "found": found,
        "skipped": [(gettext(reason), number) for reason, number in found.skipped.most_common()],
        "chips": chips(filters, visible_accounts(request)),
        "tab": TAB_BY_NAME.get(filters.state),
        "query": filters.query(),
        "asked": asked.sealed(),
    }
    return render(request, "outbox/bulk_all.html", context)


def _begin(request: HttpRequest, query: str, verb: str) -> Operation | None:
    """Begin the operation that the form confirms; None if the form is invalid or too old, or more rows match now."""
    asked = estimate.BulkQuestion.unsealed(request.POST.get("asked", ""))
    if asked is None or (asked.query, asked.verb) != (query, verb):
        return None
    return begin_operation(asked, signed_in_user(request))


def begin_operation(asked: estimate.BulkQuestion, user: User) -> Operation | None:
    """Save the operation and queue it; None if more rows would be changed now than the question said."""
    with transaction.atomic():
        operation = actions_bulk.begin(asked, user, timezone.now())
        if operation is not None:
            bulk_tasks.queue_operation(operation.pk)
    return operation


@require_safe
def operation(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of an operation; for htmx only the fragment that changes."""
    template = "outbox/_operation.html" if request.headers.get("HX-Request") else "outbox/operation.html"
    context = shown_operation(_find(request, pk)) | {"in_list": "in_list" in request.GET}
    response = render(request, template, context)
    return response if context["polls"] else trigger_client_event(response, "badges")


@require_POST
def stop_operation(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop a bulk action; for the user who began it, and for operators of all accounts."""
    found, user = _find(request, pk), signed_in_user(request)
    if found.user_id != user.pk and not has_role_everywhere(user, Role.OPERATOR):
        raise PermissionDenied(gettext("Whoever asked for it may stop it, and operators of all accounts."))
    if actions_bulk.stop(found, user, timezone.now()):
        notices.success(request, gettext("Stopped. What was done stays done."))
    else:
        notices.info(request, gettext("It was over already."))
    return redirect("outbox:operation", pk)


def _find(request: HttpRequest, pk: int) -> Operation:
    """The operation, if it is the user's own or the user is a viewer of all accounts. Raises Http404, PermissionDenied.

    Its numbers and filters reveal something of every account.
    """
    user = signed_in_user(request)
    found = Operation.objects.select_related("user", "stopped_by").filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such action.")
    if found.user_id != user.pk and not has_role_everywhere(user, Role.VIEWER):
        raise PermissionDenied(gettext("Whoever asked for it may look at it, and viewers of all accounts."))
    return found


def shown_operation(found: Operation) -> dict[str, Any]:
    """The context of an operation's page. `polls`: the page asks again, as numbers may still change."""
    outcomes = results.outcomes_of(found)
    is_followed = outcomes is not None and outcomes.waiting and timezone.now() - found.moved_at < FOLLOWED_FOR
    return {
        "operation": found,
        "label": found.get_verb_display(),
        "result": results.result_in_words(found),
        "outcomes": outcomes,
        "skipped": [(gettext(reason), number) for reason, number in results.by_number(found.skipped)],
        **_badge(outcomes),
        "runs": found.finished_at is None,
        "polls": found.finished_at is None or is_followed,
    }


def _badge(outcomes: results.Outcomes | None) -> dict[str, Any]:
    """The badge of a finished operation. Mail that it handed over counts as done after the workers' attempts."""
    if outcomes is None:
        return {"tone": "fine", "badge_label": gettext("Done"), "badge_icon": ""}
    if outcomes.waiting:
        return {"tone": "waiting", "badge_label": gettext("Handed to a worker"), "badge_icon": "arrow-path"}
    if outcomes.failed or outcomes.uncertain:
        return {"tone": "needs", "badge_label": gettext("Tried, not all sent"), "badge_icon": "exclamation-triangle"}
    return {"tone": "fine", "badge_label": gettext("Done"), "badge_icon": ""}
