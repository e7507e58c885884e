"""The page of the rules of signing in: which roles require a second factor."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from mailbox.models import AuditEntry
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.requests import signed_in_user
from people.models import SignInRules


def require_administrator(request: HttpRequest) -> None:
    """Raise PermissionDenied unless the user is an administrator of all accounts."""
    if not has_role_everywhere(signed_in_user(request), Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("This needs the role administrator for all accounts."))


class RulesForm(forms.Form):
    """The lowest role that must have a second factor."""

    second_factor_role = forms.ChoiceField(
        label=_("Second factor"),
        required=False,
        choices=[
            ("", _("each person decides")),
            ("administrator", _("administrators must have one")),
            ("operator", _("operators and administrators must have one")),
            ("viewer", _("everybody with a role must have one")),
        ],
        help_text=_(
            "For all accounts or for some. Whoever must and has none is led to set one up, and can do nothing else."
        ),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: HttpRequest) -> HttpResponse:
    """Choose the lowest role that requires a second factor, or none."""
    require_administrator(request)
    stored = SignInRules.objects.filter(pk=1).first()
    form = RulesForm(request.POST or None, initial={"second_factor_role": stored.second_factor_role if stored else ""})
    if request.method != "POST" or not form.is_valid():
        return render(request, "people/rules.html", {"form": form})
    chosen = form.cleaned_data["second_factor_role"]
    user = signed_in_user(request)
    with transaction.atomic():
        SignInRules.objects.update_or_create(pk=1, defaults={"second_factor_role": chosen})
        AuditEntry.objects.create(user=user, verb="edit_sign_in_rules", target="", detail=chosen or "each decides")
    messages.success(request, gettext("The rules are changed. They hold from the next page that anybody opens."))
    return redirect("people:rules")
