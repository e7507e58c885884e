"""Team marks of a message: assignee, note, done. They exist here only, not on the mail server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages as notices
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.expressions import BaseExpression
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from mailbox.models import Message, MessageViewing, TeamMark
from mailbox.models.team_marks import NOTE_LIMIT
from mailbox.permissions import Role, people_of
from mailbox.views.activity.audit import record
from mailbox.views.reading.message_lookup import find_message
from mailbox.views.requests import back_to, posted_time, signed_in_user

VIEWERS_SHOWN = 4


@dataclass(frozen=True)
class Viewer:
    """Another user who has opened the message, and when for the first time."""

    name: str
    at: datetime


def asked_of_team(user: User) -> dict[str, BaseExpression]:
    """Annotations that team_of() needs on the message: a page has a limit of twelve queries."""
    viewings = MessageViewing.objects.filter(message=OuterRef("pk"))
    others = viewings.exclude(user=user).order_by("-pk")
    asked: dict[str, BaseExpression] = {"was_opened": Exists(viewings.filter(user=user))}
    for number in range(VIEWERS_SHOWN + 1):
        one = others[number : number + 1]
        asked[f"viewer_{number}"] = Subquery(one.values("user__username"))
        asked[f"viewed_at_{number}"] = Subquery(one.values("at"))
    return asked


def team_of(request: HttpRequest, message: Any) -> dict[str, Any]:
    """The context of the marks on the message's page. Saves that this user has opened the message."""
    user, mark = signed_in_user(request), getattr(message, "team_mark", None)
    if not message.was_opened and request.method == "GET":
        MessageViewing.note(message, user, timezone.now())
    found = [(getattr(message, f"viewer_{i}"), getattr(message, f"viewed_at_{i}")) for i in range(VIEWERS_SHOWN + 1)]
    viewers = [Viewer(name, at) for name, at in found if name]
    return {
        "mark": mark,
        "viewers": viewers[:VIEWERS_SHOWN],
        "more_viewers": len(viewers) > VIEWERS_SHOWN,
        "is_mine": bool(mark and mark.assigned_to_id == user.pk),
    }


class TeamMarkForm(forms.Form):
    """The team mark of a message, which may be a row not saved yet."""

    assigned_to: forms.ModelChoiceField[User] = forms.ModelChoiceField(
        User.objects.none(), required=False, label=_("Assigned to"), empty_label=_("nobody")
    )
    note = forms.CharField(
        required=False,
        max_length=NOTE_LIMIT,
        label=_("Note"),
        help_text=_("For the people here. It is never sent, and never written to the mail's server."),
        widget=forms.Textarea(attrs={"rows": 5, "dir": "auto"}),
    )
    done = forms.BooleanField(required=False, label=_("Done"))

    def __init__(self, *args: Any, mark: TeamMark, **kwargs: Any) -> None:
        """The present assignee stays a choice, even if inactive or without a role by now."""
        super().__init__(*args, **kwargs)
        choices = Q(pk__in=people_of(mark.message.account_id).values("pk")) | Q(pk__in=[mark.assigned_to_id or 0])
        people = User.objects.filter(choices).order_by("username")
        self.fields["assigned_to"].queryset = people  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
def team_marks(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of the marks; with `do`, one of the buttons on the message's page."""
    message = find_message(request, pk, Role.OPERATOR)
    at_once = AT_ONCE.get(request.POST.get("do", ""))
    if at_once:
        at_once(request, message)
        return redirect(back_to(request, _page(message)))
    mark = TeamMark.objects.filter(pk=pk).first() or TeamMark(message=message)
    shown = {"assigned_to": mark.assigned_to_id, "note": mark.note, "done": bool(mark.done_at)}
    form = TeamMarkForm(request.POST or None, mark=mark, initial=shown)
    if request.method == "POST" and form.is_valid():
        if _save(request, message, mark, form.cleaned_data):
            notices.success(request, gettext("The marks of this message are kept."))
            return redirect(_page(message))
        form.add_error(None, gettext("Somebody changed these marks while this page was open. Look, then save again."))
    mark = TeamMark.objects.filter(pk=pk).select_related("assigned_to", "changed_by").first() or mark
    return render(request, "mailbox/messages/team_marks.html", {"message": message, "form": form, "mark": mark})


def _page(message: Message) -> str:
    return reverse("mailbox:message", args=[message.pk])


def _save(request: HttpRequest, message: Message, before: TeamMark, given: dict[str, Any]) -> bool:
    """Save the form; False when somebody else changed the marks since the page was made, whose note must stay."""
    shown = posted_time(request, "version")
    untouched = Q(changed_at=shown) if shown else Q(assigned_to=None, note="", done_at=None)
    return save_team_mark(request, message, before, given, untouched)


@transaction.atomic
def save_team_mark(
    request: HttpRequest, message: Message, before: TeamMark, given: dict[str, Any], only_if: Q | None = None
) -> bool:
    """Save `given`, the fields of a valid form, and record it. `before`: the marks as read.

    Returns False, and saves nothing, when the stored marks do not match `only_if`.
    """
    done_at = (before.done_at or timezone.now()) if given["done"] else None
    values = {"assigned_to": given["assigned_to"], "note": given["note"].replace("\0", ""), "done_at": done_at}
    if not TeamMark.change(message, signed_in_user(request), only_if=only_if, **values):
        return False
    to = given["assigned_to"].get_username() if given["assigned_to"] else ""
    record(request, "team_marks", f"message:{message.pk}", message.account, to)
    return True


@transaction.atomic
def _take(request: HttpRequest, message: Message) -> None:
    user = signed_in_user(request)
    if TeamMark.change(message, user, only_if=Q(assigned_to=None) | Q(assigned_to=user), assigned_to=user):
        record(request, "take_message", f"message:{message.pk}", message.account)
        return
    mark = TeamMark.objects.select_related("assigned_to").get(pk=message.pk)
    name = mark.assigned_to.get_username() if mark.assigned_to else ""
    notices.warning(request, gettext("%(name)s has taken this message already.") % {"name": name})


@transaction.atomic
def _release(request: HttpRequest, message: Message) -> None:
    user = signed_in_user(request)
    if TeamMark.change(message, user, only_if=Q(assigned_to=user), assigned_to=None):
        record(request, "release_message", f"message:{message.pk}", message.account)


@transaction.atomic
def _done(request: HttpRequest, message: Message) -> None:
    if TeamMark.change(message, signed_in_user(request), only_if=Q(done_at=None), done_at=timezone.now()):
        record(request, "message_done", f"message:{message.pk}", message.account)


@transaction.atomic
def _not_done(request: HttpRequest, message: Message) -> None:
    if TeamMark.change(message, signed_in_user(request), only_if=Q(done_at__isnull=False), done_at=None):
        record(request, "message_not_done", f"message:{message.pk}", message.account)


AT_ONCE: dict[str, Callable[[HttpRequest, Message], None]] = {
    "take": _take,
    "release": _release,
    "done": _done,
    "not_done": _not_done,
}
