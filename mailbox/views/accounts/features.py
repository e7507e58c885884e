"""The page of the feature flags: the percentage of accounts that have each, and accounts with their own setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from mailbox import features
from mailbox.lazy_text import Words
from mailbox.models import Account, Feature
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.activity.audit import record

SHOWN = 50  # accounts with their own setting, of each feature
EXPLAINED: dict[Feature, Words] = {
    Feature.INBOX_READ: _("Lists of messages, their pages, sources and attachments. Mail is fetched all the same."),
    Feature.INBOX_SEARCH: _("The search page, and what programs search."),
    Feature.EMAIL_SEND: _(
        "New mail from pages, programs and SMTP submission, and alerts and links to a password, where the account "
        "sends these. What is queued goes out."
    ),
    Feature.EMAIL_REPLY: _("Answers to received mail."),
    Feature.OUTBOX_RETRY: _("Retry, send now and send again by a person. Workers retry by themselves all the same."),
}


class ShareForm(forms.Form):
    """For what percentage of all accounts a feature is on."""

    feature = forms.ChoiceField(choices=Feature)
    percent = forms.IntegerField(label=_("Share of accounts, percent"), min_value=features.NONE, max_value=features.ALL)


class AccountFeatureForm(forms.Form):
    """One account's exception from the percentage, or that it has none any more."""

    feature = forms.ChoiceField(label=_("Feature"), choices=Feature)
    account = forms.CharField(label=_("Address of the account"), max_length=320)
    state = forms.ChoiceField(
        label=_("Set it"), choices=[("off", _("off")), ("on", _("on")), ("share", _("as for all accounts"))]
    )

    def clean_account(self) -> Account:
        found = Account.objects.filter(email__iexact=self.cleaned_data["account"].strip()).first()
        if found is None:
            raise forms.ValidationError(gettext("There is no account of this address."))
        return found


@dataclass(frozen=True)
class Line:
    """A feature as the page shows it. `own`: exceptions as (address, on or off), of which there are `own_count`."""

    feature: Feature
    explained: Words
    percent: int
    number: int  # accounts that have the feature
    own: list[tuple[str, bool]]
    own_count: int


@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """The features and their forms. Needs an administrator of all; a refused form answers 422."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("Features concern all accounts: an administrator of all may see and set them."))
    if request.method != "POST":
        return _page(request, AccountFeatureForm())
    if "percent" in request.POST:
        share = ShareForm(request.POST)
        if share.is_valid():
            return _changed(request, Feature(share.cleaned_data["feature"]), None, share.cleaned_data["percent"])
        notices.error(request, gettext("A share is a number from 0 to 100."))
        return _page(request, AccountFeatureForm(), status=422)
    form = AccountFeatureForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    given = form.cleaned_data
    percent = {"off": features.NONE, "on": features.ALL}.get(given["state"])
    return _changed(request, Feature(given["feature"]), given["account"], percent)


def set_feature(request: HttpRequest, feature: Feature, account: Account | None, percent: int | None) -> None:
    """features.change(), recorded in the activity."""
    with transaction.atomic():
        if features.change(feature, account, percent):
            detail = f"{feature.value}, {features.in_words(account, percent)}"
            record(request, "edit_feature", f"feature:{feature.value}", account, detail)


def _changed(request: HttpRequest, feature: Feature, account: Account | None, percent: int | None) -> HttpResponse:
    set_feature(request, feature, account, percent)
    words = gettext("“%(feature)s” is set. It holds from the next request.")
    notices.success(request, words % {"feature": feature.label})
    return redirect("mailbox:features")


def _page(request: HttpRequest, form: AccountFeatureForm, status: int = 200) -> HttpResponse:
    pks = list(Account.objects.values_list("pk", flat=True))
    context = {"lines": _lines(pks), "account_count": len(pks), "form": form}
    return render(request, "mailbox/features.html", context, status=status)


def _lines(pks: list[int]) -> list[Line]:
    found = features.Rollouts.read()
    shown = {pk for each in found.values() for pk in sorted(each.accounts)[:SHOWN]}
    names: dict[int, Any] = dict(Account.objects.filter(pk__in=shown).values_list("pk", "email")) if shown else {}
    return [
        Line(
            feature,
            EXPLAINED[feature],
            each.percent,
            sum(map(each.is_on, pks)),
            sorted((names[pk], is_on) for pk, is_on in each.accounts.items() if pk in names),
            len(each.accounts),
        )
        for feature, each in found.items()
    ]
