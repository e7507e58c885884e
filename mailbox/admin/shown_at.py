"""Tells an action of the admin when its list was rendered, so that it leaves rows alone that have changed since."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import forms
from django.contrib.admin.helpers import ActionForm
from django.core import signing
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

AT_MOST_AGO = timedelta(days=1)
TOO_OLD = _("The page is too old to act on its rows. Nothing was changed: look again.")
_SALT = "admin.shown_at"


def _sealed_now() -> str:
    return signing.dumps(timezone.now().isoformat(), salt=_SALT)


class ShownAtForm(ActionForm):
    """The admin's action form, with a signed field for the time at which the list was rendered."""

    shown_at = forms.CharField(widget=forms.HiddenInput, required=False, initial=_sealed_now)


def shown_at(request: HttpRequest) -> datetime | None:
    """When the list of this action was rendered; None if before AT_MOST_AGO, or if the time is missing or forged."""
    try:
        return datetime.fromisoformat(signing.loads(request.POST.get("shown_at", ""), salt=_SALT, max_age=AT_MOST_AGO))
    except signing.BadSignature:
        return None
