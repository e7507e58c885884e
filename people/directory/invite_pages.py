"""The pages to invite people, to copy or send them links, and to choose the account for the site's own mail."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from mailbox.models import Account, AuditEntry
from mailbox.views.requests import signed_in_user
from people.directory.invite_form import InviteForm
from people.directory.pages import require_person_to_change
from people.directory.rules import require_administrator
from people.links import invitations, mails, site_mail, tokens
from people.links.tokens import LASTS, LinkPurpose
from people.sign_in import audit


class SiteMailForm(forms.Form):
    """The account that sends the site's own mail, or none."""

    account = forms.CharField(
        label=_("Account"),
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"list": "accounts", "autocomplete": "off"}),
        help_text=_("The address of the account. Empty: none."),
    )

    def clean_account(self) -> Account | None:
        """The account, None for none. Raises ValidationError if there is no such account, or its sending is off."""
        given = str(self.cleaned_data["account"]).strip()
        if not given:
            return None
        found = Account.objects.filter(email__iexact=given).first()
        if found is None:
            raise ValidationError(_("There is no account with this address."))
        if not found.send_enabled:
            raise ValidationError(_("Sending is switched off for this account: switch it on first."))
        return found


@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: HttpRequest) -> HttpResponse:
    """Invite a colleague; the link is mailed, or shown once if no account sends the site's own mail."""
    require_administrator(request)
    form = InviteForm(request.POST or None)
    if request.method != "POST" or not settings.LOCAL_PASSWORDS or not form.is_valid():
        return _invite_page(request, form)
    by = signed_in_user(request)
    user = form.create(by)
    if user is None:
        return _invite_page(request, form)
    if not mails.invite(user, by):
        return _shown(request, user, LinkPurpose.INVITATION)
    messages.success(request, gettext("An invitation is on its way to %(email)s.") % {"email": user.email})
    return redirect("people:person", user.pk)


def _invite_page(request: HttpRequest, form: InviteForm) -> HttpResponse:
    context = {"form": form, "sender": site_mail.sender(), "passwords_are_off": not settings.LOCAL_PASSWORDS}
    return render(request, "people/invite.html", context)


@require_POST
def link(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a link to set a password for this person. POST field `how`: "mail" sends it; "copy" shows it once."""
    user = require_person_to_change(request, pk)
    by, purpose = (
        signed_in_user(request),
        LinkPurpose.INVITATION if invitations.is_pending(user) else LinkPurpose.PASSWORD,
    )
    if not tokens.may_have_link(user):
        messages.error(request, gettext("A new password would open nothing for this person."))
        return redirect("people:person", pk)
    if request.POST.get("how") != "mail":
        return _shown(request, user, purpose)
    if user.is_superuser:
        messages.error(request, gettext("A user with all rights gets no link by mail."))
        return redirect("people:person", pk)
    with transaction.atomic():
        is_queued = user.email and (
            mails.invite(user, by) if purpose == LinkPurpose.INVITATION else mails.password_link(user, by=by)
        )
        if is_queued:
            target = audit.target_of(user)
            AuditEntry.objects.create(user=by, verb="send_link", target=target, detail=user.get_username())
    if is_queued:
        messages.success(request, gettext("A link is on its way to %(email)s.") % {"email": user.email})
    else:
        messages.error(request, gettext("No mail could be sent. Copy a link instead."))
    return redirect("people:person", pk)


def _shown(request: HttpRequest, user: User, purpose: LinkPurpose) -> HttpResponse:
    by = signed_in_user(request)
    AuditEntry.objects.create(user=by, verb="copy_link", target=audit.target_of(user), detail=user.get_username())
    days = LASTS[purpose].days
    context = {"person": user, "link": tokens.link_for(user, purpose), "days": days, "is_new": purpose == "invitation"}
    response = render(request, "people/link.html", context)
    response["Cache-Control"] = "private, no-store"
    return response


@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Withdraw an invitation that was not accepted yet."""
    user = require_person_to_change(request, pk)
    if not invitations.withdraw(signed_in_user(request), user):
        messages.error(request, str(invitations.SIGNED_IN))
        return redirect("people:person", pk)
    messages.success(request, gettext("The invitation is withdrawn; its link opens nothing any more."))
    return redirect("people:list")


@require_http_methods(["GET", "HEAD", "POST"])
def site_mail_page(request: HttpRequest) -> HttpResponse:
    """Choose the account that sends invitations and links. It is no longer fetched, as its Sent folder would show
    links."""
    require_administrator(request)
    present = Account.objects.filter(sends_site_mail=True).first()
    form = SiteMailForm(request.POST or None, initial={"account": present.email if present else ""})
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data["account"]
        site_mail.choose(signed_in_user(request), chosen)
        words = gettext("The site's own mail goes out from %(account)s, which is no longer fetched.")
        none = gettext("The site sends no mail of its own; links are copied by hand.")
        messages.success(request, words % {"account": chosen.email} if chosen else none)
        return redirect("people:site_mail")
    accounts = Account.objects.filter(send_enabled=True).order_by("email").values_list("email", flat=True)[:200]
    return render(request, "people/site_mail.html", {"form": form, "present": present, "accounts": list(accounts)})
