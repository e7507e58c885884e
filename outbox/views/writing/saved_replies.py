"""The pages that list and edit saved replies, and their text for the compose page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages as notices
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbox import localized
from mailbox.models import Account
from mailbox.permissions import Role, accounts_for, get_account, has_role_everywhere, require_role_somewhere
from mailbox.views.activity.audit import record
from mailbox.views.confirmation import Question, asks_first
from mailbox.views.requests import signed_in_user
from outbox.compose import saved_replies
from outbox.compose.formatted_text import html_of
from outbox.compose.senders import SenderIdentity, senders_of
from outbox.models import SavedReply

MOST_REPLIES = 200  # of the site, as the compose page offers all of them


class SavedReplyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A saved reply; its fields must be known ones."""

    class Meta:
        model = SavedReply
        fields = ["name", "account", "text"]
        widgets = {"text": forms.Textarea(attrs={"rows": 10, "dir": "auto"})}
        help_texts = {"account": _("Who writes from this account is offered it.")}

    def clean_text(self) -> str:
        """The text with LF line ends. Raises ValidationError for unknown fields."""
        text = str(self.cleaned_data["text"]).replace("\r\n", "\n")
        if unknown := saved_replies.unknown_fields(text):
            raise forms.ValidationError(
                gettext("There is no such field: %(fields)s") % {"fields": localized.listed(unknown[:5])}
            )
        return text

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for a new one if there are MOST_REPLIES already."""
        if self.instance.pk is None and SavedReply.objects.count() >= MOST_REPLIES:
            words = gettext("There are %(number)s saved replies: remove one first.")
            raise forms.ValidationError(words % {"number": MOST_REPLIES})
        return dict(super().clean() or self.cleaned_data)


def replies_for(request: HttpRequest) -> QuerySet[SavedReply]:
    """The saved replies of accounts that the user may send from, and those for all accounts."""
    rows = SavedReply.objects.all()
    if has_role_everywhere(request.user, Role.OPERATOR):
        return rows
    return rows.filter(Q(account=None) | Q(account__in=accounts_for(request.user, Role.OPERATOR)))


def filled(request: HttpRequest, pk: int, to: str, sender: SenderIdentity | None, subject: str) -> str:
    """The text of a saved reply with its fields replaced. Raises Http404 if the user may not use it."""
    reply = get_object_or_404(replies_for(request), pk=pk)
    sender_name = sender.name or sender.address if sender else ""
    return saved_replies.fill(reply.text, saved_replies.values_of(to, sender_name, subject))


@require_safe
def text(request: HttpRequest, pk: int) -> HttpResponse:
    """The text of a saved reply as JSON, for the script that inserts it at the cursor.

    Raises Http404 if the user may not see its account, PermissionDenied if they may not send from it.
    """
    reply = get_object_or_404(SavedReply.objects.only("account"), pk=pk)
    if reply.account_id is None:
        require_role_somewhere(request.user, Role.OPERATOR)
    else:
        get_account(request.user, reply.account_id, Role.OPERATOR)
    asked = request.GET
    offered = senders_of(accounts_for(request.user, Role.OPERATOR).prefetch_related("aliases"))
    sender = next((each for each in offered if each.form_value == asked.get("account")), None)
    words = filled(request, pk, asked.get("to", ""), sender, asked.get("subject", "")[:2_000])
    return JsonResponse({"text": words, "html": html_of(words)})


@require_http_methods(["GET", "HEAD", "POST"])
def listed(request: HttpRequest) -> HttpResponse:
    """The saved replies that the user may use, and the form that adds one; needs the operator's role."""
    require_role_somewhere(request.user, Role.OPERATOR)
    form = _form(request, SavedReply())
    if request.method == "POST" and form.is_valid():
        return _saved(request, form, "add_saved_reply")
    rows = replies_for(request).select_related("account", "changed_by").defer("text")[:MOST_REPLIES]
    everywhere = has_role_everywhere(request.user, Role.OPERATOR)
    context = {"rows": list(rows), "form": form, "fields": saved_replies.FIELDS, "everywhere": everywhere}
    return render(request, "outbox/saved_replies.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit a saved reply; _saved_by() says who may."""
    reply = _saved_by(request, pk)
    form = _form(request, reply)
    if request.method == "POST" and form.is_valid():
        return _saved(request, form, "edit_saved_reply")
    context = {"form": form, "fields": saved_replies.FIELDS, "reply": reply}
    return render(request, "outbox/saved_reply.html", context)


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a saved reply, after a question; _saved_by() says who may."""
    reply = _saved_by(request, pk)
    question = Question(
        title=gettext("Remove “%(name)s”?") % {"name": reply.name},
        consequence=gettext("Nobody is offered this saved reply any more. Mail that was written with it stays."),
        button=gettext("Remove it"),
        back=reverse("outbox:saved_replies"),
    )
    if page := asks_first(request, question):
        return page
    remove_reply(request, reply)
    notices.success(request, gettext("“%(name)s” is removed.") % {"name": reply.name})
    return redirect("outbox:saved_replies")


def _form(request: HttpRequest, reply: SavedReply) -> SavedReplyForm:
    return reply_form(signed_in_user(request), reply, request.POST if request.method == "POST" else None)


def reply_form(user: User, reply: SavedReply, data: Mapping[str, Any] | None) -> SavedReplyForm:
    """The form. Only operators of all accounts may save a reply for all of them; others must choose an account."""
    form = SavedReplyForm(data, instance=reply)
    everywhere = has_role_everywhere(user, Role.OPERATOR)
    field: forms.ModelChoiceField[Account] = form.fields["account"]  # type: ignore[assignment]
    field.queryset = accounts_for(user, Role.OPERATOR).order_by("email")
    field.required, field.empty_label = not everywhere, gettext("All accounts") if everywhere else None
    return form


def _saved_by(request: HttpRequest, pk: int) -> SavedReply:
    """The saved reply. Raises Http404 if the user may not see its account, PermissionDenied if they may not use it."""
    reply = get_object_or_404(SavedReply.objects.select_related("account"), pk=pk)
    if reply.account_id is not None:
        get_account(request.user, reply.account_id, Role.OPERATOR)
    elif not has_role_everywhere(request.user, Role.OPERATOR):
        raise PermissionDenied(gettext("This saved reply is for all accounts: an operator of all accounts changes it."))
    return reply


def _saved(request: HttpRequest, form: SavedReplyForm, verb: str) -> HttpResponse:
    reply = save_reply(request, form, verb)
    notices.success(request, gettext("“%(name)s” is saved.") % {"name": reply.name})
    return redirect("outbox:saved_replies")


@transaction.atomic
def save_reply(request: HttpRequest, form: SavedReplyForm, verb: str) -> SavedReply:
    """Save a valid form, with the user, and record it."""
    form.instance.changed_by = signed_in_user(request)
    reply: SavedReply = form.save()
    record(request, verb, f"saved_reply:{reply.pk}", reply.account, reply.name)
    return reply


@transaction.atomic
def remove_reply(request: HttpRequest, reply: SavedReply) -> None:
    """Delete a saved reply and record it."""
    target = f"saved_reply:{reply.pk}"
    reply.delete()
    record(request, "remove_saved_reply", target, reply.account, reply.name)
