"""The user's own page: the time zone that all times are shown in. The theme belongs to the browser (theme.js)."""

from __future__ import annotations

import zoneinfo
from functools import cache
from mailbox.models import AuditEntry, UserPreference
from mailbox.views.asking import signed_in_user

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

# Of the tz database, but no place's time: files of the system, and other spellings of an offset.
_NO_PLACE = ("Etc/", "SystemV/", "posix/", "right/")


@cache
def zone_names() -> tuple[str, ...]:
    """What may be chosen: the places of this machine's tz database, and UTC."""
    return tuple(
        sorted(
            name
            for name in zoneinfo.available_timezones()
            if name == "UTC" or ("/" in name and not name.startswith(_NO_PLACE))
        )
    )


def _choices() -> list[tuple[str, str]]:
    site = f"As the site ({settings.TIME_ZONE})"
    return [("", site), *((name, name.replace("_", " ")) for name in zone_names())]


class ProfileForm(forms.Form):
    time_zone = forms.ChoiceField(
        label="Time zone",
        choices=_choices,
        required=False,
        help_text="All times are shown in it, and a time you enter is taken as one of it.",
        error_messages={"invalid_choice": "There is no such time zone here; choose one of the list."},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    user = signed_in_user(request)
    stored = UserPreference.objects.filter(user=user).first()
    now_stored = stored.time_zone if stored else ""
    form = ProfileForm(request.POST or None, initial={"time_zone": now_stored})
    if request.method != "POST" or not form.is_valid():
        return render(request, "profile.html", {"form": form, "now": timezone.now()})
    chosen = form.cleaned_data["time_zone"]
    if chosen != now_stored:
        UserPreference.objects.update_or_create(user=user, defaults={"time_zone": chosen})
        AuditEntry.objects.create(user=user, verb="change_profile", target=f"user:{user.pk}", detail=chosen)
    messages.success(request, f"Times are shown as in {chosen or settings.TIME_ZONE}.")
    return redirect("profile")
