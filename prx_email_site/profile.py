"""The user's own page: time zone, language, sessions and sign-ins. The theme belongs to the browser (theme.js)."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from mailbox.models import AuditEntry, UserPreference
from mailbox.views.activity.activity_words import told
from mailbox.views.requests import signed_in_user
from people.sessions import own_sessions

# Prefixes of names in the tz database that are no places.
_NO_PLACE = ("Etc/", "SystemV/", "posix/", "right/")


@cache
def zone_names() -> tuple[str, ...]:
    """The time zones to choose from: the places of this machine's tz database, and UTC."""
    return tuple(
        sorted(
            name
            for name in zoneinfo.available_timezones()
            if name == "UTC" or ("/" in name and not name.startswith(_NO_PLACE))
        )
    )


def _choices() -> list[tuple[str, str]]:
    site = gettext("As the site (%(zone)s)") % {"zone": settings.TIME_ZONE}
    return [("", site), *((name, name.replace("_", " ")) for name in zone_names())]


def _languages() -> list[tuple[str, str]]:
    return [("", gettext("As the browser")), *settings.LANGUAGES]


class ProfileForm(forms.Form):
    """Time zone and language; without the language if there is only one."""

    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=_choices,
        required=False,
        help_text=_("All times are shown in it, and a time you enter is taken as one of it."),
        error_messages={"invalid_choice": _("There is no such time zone here; choose one of the list.")},
    )
    language = forms.ChoiceField(
        label=_("Language"),
        choices=_languages,
        required=False,
        help_text=_("Of these pages; mail, and what servers said, stays as it is."),
        error_messages={"invalid_choice": _("There is no such language here; choose one of the list.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(settings.LANGUAGES) < 2:
            del self.fields["language"]


@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show and save the user's time zone and language; "" is the site's default."""
    user = signed_in_user(request)
    stored = UserPreference.objects.filter(user=user).first()
    before = (
        {"time_zone": stored.time_zone, "language": stored.language} if stored else {"time_zone": "", "language": ""}
    )
    form = ProfileForm(request.POST or None, initial=before)
    if request.method != "POST" or not form.is_valid():
        context = {
            "form": form,
            "now": timezone.now(),
            "sessions": own_sessions.sessions_of(user, request.session.session_key),
            "sign_ins": told(own_sessions.sign_ins_of(user)),
        }
        return render(request, "profile.html", context)
    chosen = before | form.cleaned_data
    if chosen != before:
        detail = ", ".join(value or "default" for name, value in chosen.items() if value != before[name])
        with transaction.atomic():
            UserPreference.objects.update_or_create(user=user, defaults=chosen)
            AuditEntry.objects.create(user=user, verb="change_profile", target=f"user:{user.pk}", detail=detail)
    with translation.override(chosen["language"] or translation.get_language_from_request(request)):
        words = gettext("Times are shown as in %(zone)s.") % {"zone": chosen["time_zone"] or settings.TIME_ZONE}
        messages.success(request, words)
    return redirect("profile")
