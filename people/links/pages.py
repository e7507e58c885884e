"""The pages of forgotten passwords, of links that set a password, and of one's own address."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, password_validation
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from mailbox.localized import grouped
from mailbox.models import AuditEntry
from mailbox.views.requests import signed_in_user
from people.links import confirmations, forgotten, mails, own_email, site_mail, tokens
from people.links.forgotten import TooManyRequests
from people.links.own_email import TooManyChanges
from people.sessions.own_sessions import end_sessions
from people.sign_in import audit
from people.sign_in.refusals import closed_for_a_while, refused

KEPT = "password_link"  # session key of {"user": pk, "proof": a token of tokens.proof_for_browser}


class EmailForm(forms.Form):
    """An address to change to."""

    email = forms.EmailField(
        label=_("E-mail address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )

    def clean_email(self) -> str:
        """The address without NUL, which PostgreSQL refuses."""
        return str(self.cleaned_data["email"]).replace("\x00", "")


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    """Django's form, but the new hash replaces the one that was read when the form was shown, by one conditional
    UPDATE."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["new_password1"].help_text = " ".join(password_validation.password_validators_help_texts())

    def hashed(self) -> str:
        """The hash of the new password, which takes half a second: too long for a transaction of SQLite, which has one
        writer."""
        return make_password(self.cleaned_data["new_password1"])

    def swap(self, hashed: str) -> bool:
        """Set the new password; False when it was changed meanwhile, as by a second use of the same link."""
        shown = User.objects.filter(pk=self.user.pk, password=self.user.password, is_active=True)
        return shown.update(password=hashed) == 1


@login_not_required
@require_safe
def link(request: HttpRequest, purpose: str, pk: int, token: str) -> HttpResponse:
    """Store a proof in the session and redirect to a URL without the token, so that the token is in no Referer header.

    Opening a link changes nothing else, as mail scanners open links too.
    """
    user = tokens.user_of_link(purpose, pk, token)
    if user is None:
        return refused(request, "link_over", 410)
    request.session[KEPT] = {"user": user.pk, "proof": tokens.proof_for_browser(user)}
    return redirect("password_new")


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_password(request: HttpRequest) -> HttpResponse:
    """Choose a password, in the browser that opened the link, within IN_BROWSER. Ends all sessions of the user."""
    kept = request.session.get(KEPT) or {}
    user = tokens.user_of_proof(kept.get("user"), kept.get("proof"))
    if user is None:
        return refused(request, "link_over", 410)
    form = NewPasswordForm(user, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "people/new_password.html", {"form": form, "person": user})
    hashed = form.hashed()
    with transaction.atomic():
        if not form.swap(hashed):
            return refused(request, "link_over", 410)
        AuditEntry.objects.create(verb="set_password_by_link", target=audit.target_of(user))
        end_sessions(user)
        mails.tell_password_set(user)
    logout(request)
    messages.success(request, gettext("Your password is set. Sign in with it."))
    return redirect("login")


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def forgotten_password(request: HttpRequest) -> HttpResponse:
    """Take a request for a password link. The page is the same for every address, so that it does not tell who is a
    user."""
    form = EmailForm(request.POST or None)
    can_send = site_mail.sender() is not None and bool(settings.LOCAL_PASSWORDS)
    is_asked = request.method == "POST" and can_send and form.is_valid()
    if is_asked:
        try:
            forgotten.ask(request, form.cleaned_data["email"])
        except TooManyRequests:
            return _too_many(request)
    context = {
        "form": form,
        "can_send": can_send,
        "is_asked": is_asked,
        "passwords_are_off": not settings.LOCAL_PASSWORDS,
    }
    return render(request, "people/forgotten.html", context)


def _too_many(request: HttpRequest) -> HttpResponse:
    minutes = settings.SIGN_IN_LOCK_MINUTES
    sentence = ngettext(
        "Links were asked for too often from here. Try again in %(number)s minute.",
        "Links were asked for too often from here. Try again in %(number)s minutes.",
        minutes,
    )
    title, advice = gettext("No more links for a while"), gettext("An administrator can give you a link at once.")
    return closed_for_a_while(request, title, sentence % {"number": grouped(minutes)}, advice, minutes)


@require_http_methods(["GET", "HEAD", "POST"])
def email(request: HttpRequest) -> HttpResponse:
    """Ask for a change of one's own address, which a link to the new address confirms."""
    user, can_send = signed_in_user(request), site_mail.sender() is not None
    form = EmailForm(request.POST or None)
    if request.method != "POST" or not can_send or not form.is_valid():
        return render(request, "people/email.html", {"form": form, "can_send": can_send})
    wanted = form.cleaned_data["email"]
    try:
        is_queued = own_email.ask(user, wanted)
    except TooManyChanges:
        messages.error(request, gettext("You have asked for too many addresses today. Ask an administrator."))
        return redirect("email")
    if is_queued:
        words = gettext("A link is on its way to %(email)s. Your address changes once you have opened it.")
        messages.success(request, words % {"email": wanted})
    else:
        messages.error(request, gettext("The mail could not be queued. Try again, or ask an administrator."))
    return redirect("profile")


@require_http_methods(["GET", "HEAD", "POST"])
def email_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm one's new address, by a button: opening the link changes nothing."""
    change = confirmations.change_of(signed_in_user(request), token)
    if change is None:
        return refused(request, "email_link_over", 410)
    if request.method != "POST":
        return render(request, "people/email_confirm.html", {"change": change})
    if not own_email.confirm(change):
        return refused(request, "email_link_over", 410)
    messages.success(request, gettext("Your address is now %(email)s.") % {"email": change.email})
    return redirect("profile")
