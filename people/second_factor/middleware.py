"""Redirects people who need a second factor and have none to the page that sets it up; other pages are closed to
them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext

from mailbox.views.requests import signed_in_user
from people.second_factor import requirement
from people.sessions.expiry import is_poll

OPEN_TO_HALF = {"mfa_index", "mfa_list_webauthn", "mfa_activate_totp", "mfa_add_webauthn", "login", "account_login"}
OPEN_TO_HALF |= {"account_reauthenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn", "logout"}
OPEN_TO_HALF |= {"health_live", "health_ready", "health_workers"}
OPEN_TO_HALF |= {"mfa_authenticate", "sso_begin", "sso_callback"}


class SecondFactorMiddleware:
    """Place it after LoginRequiredMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """None to go on, else the redirect; for a poll by htmx, the order to load the page anew."""
        name = request.resolver_match.view_name if request.resolver_match else ""
        if not request.user.is_authenticated or name in OPEN_TO_HALF:
            return None
        if not requirement.is_missing(signed_in_user(request)):
            return None
        if is_poll(request):
            return HttpResponse(headers={"HX-Refresh": "true"})
        messages.warning(request, gettext("Your role needs a second factor: set one up to go on."))
        return redirect("mfa_index")
