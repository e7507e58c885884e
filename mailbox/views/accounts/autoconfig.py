"""Adding an account by its address: a worker looks up the server settings, and the form shows them for confirmation."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.autoconfig.lookup import MOST, TooManyLookups
from mailbox.models import SettingsLookup
from mailbox.permissions import Role, has_role_everywhere
from mailbox.presets import PRESETS
from mailbox.tasks import autoconfig as autoconfig_tasks
from mailbox.views.accounts.accounts import is_partial
from mailbox.views.requests import number_of, signed_in_user

# For the look-up and the wait for a free worker; then the page gives up and stops polling.
PATIENCE = timedelta(minutes=2)


class FindForm(forms.Form):
    """Asks for the address only: looking up settings needs no secret."""

    email = forms.EmailField(
        label=gettext_lazy("E-mail address"),
        max_length=254,
        error_messages={
            "required": gettext_lazy("Give the e-mail address."),
            "invalid": gettext_lazy("An e-mail address looks like ann@example.com."),
        },
        widget=forms.EmailInput(attrs={"autocomplete": "off", "autofocus": True}),
    )


def require_administrator(request: HttpRequest) -> None:
    """Raise PermissionDenied unless the user is administrator for all accounts, as adding one takes."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(_("Adding an account needs the role administrator for all accounts."))


def start_page(request: HttpRequest, form: FindForm | None = None) -> HttpResponse:
    """The first step: enter an address, or choose a provider."""
    context = {"form": form or FindForm(), "presets": PRESETS}
    return render(request, "mailbox/accounts/start.html", context)


@require_POST
def find(request: HttpRequest) -> HttpResponse:
    """Start a look-up on a worker."""
    require_administrator(request)
    form = FindForm(request.POST)
    if not form.is_valid():
        return start_page(request, form)
    try:
        row = start_lookup(request, form.cleaned_data["email"].strip(), timezone.now())
    except TooManyLookups:
        form.add_error("email", too_many_words())
        return start_page(request, form)
    return redirect("mailbox:account_found", row.pk)


def start_lookup(request: HttpRequest, email: str, now: datetime) -> SettingsLookup:
    """Create the user's look-up of an address and queue it, unless it runs or needs none. Raises TooManyLookups."""
    row, is_new = autoconfig_lookup.ask(signed_in_user(request).pk, email, now=now)
    if is_new:
        autoconfig_tasks.queue_lookup(row.pk)
    return row


def too_many_words() -> str:
    """The sentence for TooManyLookups."""
    words = _("You have looked up %(count)s addresses within ten minutes. Wait a little, or choose the provider.")
    return words % {"count": MOST}


def own_lookup(request: HttpRequest, pk: int) -> SettingsLookup:
    """A look-up of this user; Http404 for another user's."""
    row = SettingsLookup.objects.filter(pk=pk, asked_by=signed_in_user(request).pk).first()
    if row is None:
        raise Http404("No such look-up.")
    return row


def lookup_of(request: HttpRequest) -> SettingsLookup | None:
    """The finished look-up that `?lookup=` names; None when there is none."""
    pk = number_of(request, "lookup")
    if pk is None:
        return None
    row = own_lookup(request, pk)
    return row if row.finished_at else None


@require_safe
def found(request: HttpRequest, pk: int) -> HttpResponse:
    """Wait for the look-up, then redirect to the form with its results. htmx polls it; without scripts it reloads."""
    row = own_lookup(request, pk)
    require_administrator(request)
    form_url = f"{reverse('mailbox:account_add')}?lookup={pk}"
    if row.finished_at:
        return HttpResponse(headers={"HX-Redirect": form_url}) if is_partial(request) else redirect(form_url)
    context = {"lookup": row, "given_up": timezone.now() - row.asked_at > PATIENCE}
    if not is_partial(request):
        return render(request, "mailbox/accounts/find.html", context)
    # htmx swaps in an answer of status 286 and stops polling.
    return render(request, "mailbox/accounts/_find.html", context, status=286 if context["given_up"] else 200)
