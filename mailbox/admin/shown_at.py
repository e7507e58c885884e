"""When the list was made that an action of the admin was chosen on: rows that changed since are left alone."""

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
    """The admin's form of actions, with the time at which its list was made."""

    shown_at = forms.CharField(widget=forms.HiddenInput, required=False, initial=_sealed_now)


def shown_at(request: HttpRequest) -> datetime | None:
    """None when the list was made more than a day ago, or its time is missing."""
    try:
        return datetime.fromisoformat(signing.loads(request.POST.get("shown_at", ""), salt=_SALT, max_age=AT_MOST_AGO))
    except signing.BadSignature:
        return None
