"""The pages of people, for administrators of all accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from mailbox.localized import grouped
from mailbox.models import Account, AccountGrant
from mailbox.permissions import ROLES
from mailbox.views.pagination import FirstRows
from mailbox.views.requests import signed_in_user
from people.directory import changes, listing
from people.directory.administrators import NOBODY_LEFT, StaysAdministrator
from people.directory.rules import require_administrator
from people.links import invitations, site_mail, tokens
from people.sessions import own_sessions

GRANTS_SHOWN = 500
NO_ROLE = ("", _("no role"))
ROLE_CHOICES: list[Any] = [NO_ROLE, *((role.value, role.label) for role in ROLES)]


class RoleForm(forms.Form):
    """A role for all accounts, or none."""

    role = forms.ChoiceField(
        label=_("Role for all accounts"),
        choices=ROLE_CHOICES,
        required=False,
        help_text=_("Viewers read, operators also send, administrators also edit accounts and people."),
    )


class DetailsForm(forms.Form):
    """Name and address of a user. Password links are sent to the address, so the former one is notified of a change."""

    full_name = forms.CharField(label=_("Name"), max_length=200, required=False)
    email = forms.EmailField(label=_("E-mail address"), max_length=254, required=False)

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_email(self) -> str:
        """The address. Raises ValidationError if somebody else has it, whatever the case."""
        email = str(self.cleaned_data["email"]).replace("\x00", "")
        if email and User.objects.filter(email__iexact=email).exclude(pk=self.person.pk).exists():
            raise forms.ValidationError(_("Somebody here has this address already; the list of people shows who."))
        return email


class GrantForm(forms.Form):
    """A role for one account. The account's address is typed, as a list of all accounts may be long."""

    account = forms.CharField(label=_("Account"), max_length=254, help_text=_("The address of the account."))
    role = forms.ChoiceField(label=_("Role"), choices=ROLE_CHOICES, required=False)

    def clean_account(self) -> Account:
        """The account with this address. Raises ValidationError if there is none."""
        found = Account.objects.filter(email__iexact=self.cleaned_data["account"].strip()).first()
        if found is None:
            raise forms.ValidationError(_("There is no account with this address."))
        return found


@require_safe
def people(request: HttpRequest) -> HttpResponse:
    """The list of people, searched by `q`."""
    require_administrator(request)
    asked = request.GET.get("q", "").replace("\x00", "").strip()[:150]
    page, rows = listing.page_of(request.GET.get("page", "1"), asked)
    return render(request, "people/list.html", {"page": page, "rows": rows, "q": asked})


@require_safe
def person(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one person, with the forms below."""
    return _page(request, _person(request, pk))


@require_POST
def role(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the role for all accounts. The last administrator of all accounts keeps it."""
    user = require_person_to_change(request, pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _page(request, user, role_form=form)
    try:
        changes.set_role(signed_in_user(request), user, form.cleaned_data["role"])
    except StaysAdministrator:
        return _refuse_for_the_last(request, user)
    messages.success(request, gettext("The role is changed. It holds from the next page that is opened."))
    return redirect("people:person", user.pk)


@require_POST
def details(request: HttpRequest, pk: int) -> HttpResponse:
    """Save name and address."""
    user = require_person_to_change(request, pk)
    form = DetailsForm(request.POST, person=user)
    if not form.is_valid():
        return _page(request, user, details_form=form)
    changes.set_details(signed_in_user(request), user, form.cleaned_data["full_name"], form.cleaned_data["email"])
    messages.success(request, gettext("Name and address are saved."))
    return redirect("people:person", user.pk)


@require_POST
def grant(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a role for one account, or withdraw it."""
    user = require_person_to_change(request, pk)
    form = GrantForm(request.POST)
    if not form.is_valid():
        return _page(request, user, grant_form=form)
    changes.set_grant(signed_in_user(request), user, form.cleaned_data["account"], form.cleaned_data["role"])
    messages.success(request, gettext("The role is changed. It holds from the next page that is opened."))
    return redirect("people:person", user.pk)


@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Switch the user on or off. POST field `is_active`: the wanted state, so that sending it twice changes nothing."""
    user, to_active = require_person_to_change(request, pk), request.POST.get("is_active") == "1"
    try:
        changes.set_active(signed_in_user(request), user, to_active)
    except StaysAdministrator:
        return _refuse_for_the_last(request, user)
    on, off = gettext("This person may sign in again."), gettext("This person is signed out and cannot sign in.")
    messages.success(request, on if to_active else off)
    return redirect("people:person", user.pk)


@require_POST
def end_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    """Sign the person out everywhere."""
    user = require_person_to_change(request, pk)
    number = changes.sign_out(signed_in_user(request), user)
    words = ngettext("%(number)s session was ended.", "%(number)s sessions were ended.", number)
    if user == request.user:
        return redirect("login")
    messages.success(request, words % {"number": grouped(number)})
    return redirect("people:person", user.pk)


def _person(request: HttpRequest, pk: int) -> Any:
    require_administrator(request)
    return get_object_or_404(listing.people(), pk=pk)


def require_person_to_change(request: HttpRequest, pk: int) -> User:
    """The user with this pk, if the signed-in user may change it. Raises Http404, PermissionDenied."""
    user: User = _person(request, pk)
    changes.require_may_change(signed_in_user(request), user)
    return user


def _refuse_for_the_last(request: HttpRequest, user: User) -> HttpResponse:
    messages.error(request, str(NOBODY_LEFT))
    return redirect("people:person", user.pk)


def _page(request: HttpRequest, user: Any, **forms_: Any) -> HttpResponse:
    """Render the person's page. `forms_`: refused forms, which are shown as they were typed."""
    granted = AccountGrant.objects.filter(user=user).select_related("account").order_by("account__email")
    grants = FirstRows[AccountGrant](granted, GRANTS_SHOWN)
    by = signed_in_user(request)
    context = {
        "person": user,
        "may_change": by.is_superuser or not user.is_superuser,
        "role_form": RoleForm(initial={"role": listing.role_of(user)}),
        "grant_form": GrantForm(),
        "details_form": DetailsForm(initial={"full_name": user.get_full_name(), "email": user.email}, person=user),
        "is_pending": invitations.is_pending(user),
        "may_have_link": tokens.may_have_link(user),
        "can_send": bool(user.email) and not user.is_superuser and site_mail.sender() is not None,
        "grants": list(grants),
        "sessions": own_sessions.sessions_of(user),
        "follows_sign_on": bool(settings.SSO_ISSUER) and user.socialaccount_set.exists(),
        **forms_,
    }
    return render(request, "people/person.html", context)
