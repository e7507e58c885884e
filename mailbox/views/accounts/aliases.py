"""The aliases (further sender addresses) of an account; its administrators add, change and remove them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages as notices
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from mailbox.mime.addresses import same
from mailbox.models import Account, AccountAlias
from mailbox.permissions import Role, get_account
from mailbox.views.activity.audit import record
from mailbox.views.confirmation import Question, asks_first

MOST_ALIASES = 50  # of one account: all of them are in the From menu


class AliasForm(forms.ModelForm):  # type: ignore[type-arg]
    """An alias of `instance.account`, which must be set. Refuses an address that the account has, in any case."""

    class Meta:
        model = AccountAlias
        fields = ["email", "display_name", "signature"]
        widgets = {"signature": forms.Textarea(attrs={"rows": 4, "dir": "auto"})}
        help_texts = {
            "display_name": _("What recipients see beside the address."),
            "signature": _("Below what is written from this address."),
        }

    def clean_email(self) -> str:
        email, alias = str(self.cleaned_data["email"]), self.instance
        others = alias.account.aliases.exclude(pk=alias.pk)
        if any(same(email) == same(taken) for taken in (alias.account.email, *(each.email for each in others))):
            raise forms.ValidationError(gettext("The account has this address already."))
        if alias.pk is None and len(others) >= MOST_ALIASES:
            raise forms.ValidationError(
                gettext("An account has at most %(number)s further addresses.") % {"number": MOST_ALIASES}
            )
        return email


@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a new alias. Needs an administrator of the account."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    return _page(request, AccountAlias(account=account), gettext("Add an address"), "add_alias")


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of an alias. Needs an administrator of its account."""
    found = _administered(request, pk)
    return _page(request, found, gettext("Edit %(email)s") % {"email": found.email}, "edit_alias")


def _administered(request: HttpRequest, pk: int) -> AccountAlias:
    """The alias. Raises Http404 when the user may not see its account, PermissionDenied when not its administrator."""
    found = get_object_or_404(AccountAlias, pk=pk)
    found.account = get_account(request.user, found.account_id, Role.ADMINISTRATOR)
    return found


def _page(request: HttpRequest, alias: AccountAlias, title: str, verb: str) -> HttpResponse:
    account: Account = alias.account
    form = AliasForm(request.POST if request.method == "POST" else None, instance=alias)
    if request.method == "POST" and form.is_valid() and save_alias(request, form, verb):
        notices.success(request, gettext("Mail may come from %(email)s.") % {"email": alias.email})
        return redirect("mailbox:account", account.pk)
    context: dict[str, Any] = {"form": form, "account": account, "title": title}
    return render(request, "mailbox/accounts/alias.html", context)


def save_alias(request: HttpRequest, form: AliasForm, verb: str) -> bool:
    """Save the form and record `verb` in the activity; False when it is invalid, and its errors say why."""
    alias = form.instance
    try:
        with transaction.atomic():
            form.save()
            record(request, verb, f"account:{alias.account_id}", alias.account, alias.email)
    except IntegrityError:  # added by two people at once: neither was stored when both were validated
        form.add_error("email", gettext("The account has this address already."))
        return False
    return True


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove an alias after a confirmation. Needs an administrator of its account."""
    found = _administered(request, pk)
    account_page = reverse("mailbox:account", args=[found.account_id])
    question = Question(
        title=gettext("Remove %(email)s?") % {"email": found.email},
        consequence=gettext("No new mail comes from this address. What waits in the outbox still goes out."),
        button=gettext("Remove it"),
        back=account_page,
    )
    if page := asks_first(request, question):
        return page
    take_away(request, found)
    notices.success(request, gettext("%(email)s is removed.") % {"email": found.email})
    return redirect(account_page)


def take_away(request: HttpRequest, alias: AccountAlias) -> None:
    """Delete the alias and record it in the activity, in one transaction."""
    with transaction.atomic():
        alias.delete()
        record(request, "remove_alias", f"account:{alias.account_id}", alias.account, alias.email)
