"""Step-up: asks for reauthentication before pages with secrets, roles, keys and exports.

A sign-in counts for PRX_EMAIL_STEP_UP_MINUTES; after that the password or second factor is asked for again (allauth's
reauthentication). Sending a form is allowed for twice that time, so that a form opened in time can still be sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from people.sessions.expiry import is_poll

TO_OPEN, TO_SEND = 1, 2  # to open a page, to send a form: multiples of PRX_EMAIL_STEP_UP_MINUTES
SECRETS = {
    "email",
    "mailbox:account_import",
    "mailbox:account_sign_in",
    "mailbox:account_edit",
    "mailbox:account_add",
    "mailbox:oauth_begin",
}
KEYS = {"mailbox:providers", "mailbox:provider_add", "mailbox:provider", "mailbox:provider_remove"}
KEYS |= {"mailbox:provider_known", "mailbox:oauth_begin_new", "alerts:add", "alerts:edit", "api:tokens"}
KEYS |= {"alerts:webhook_add", "alerts:webhook"}
ROLES = {"people:invite", "people:site_mail", "people:details", "people:link", "people:withdraw"}
ROLES |= {"people:rules", "people:person", "people:role", "people:grant", "people:switch", "people:end_sessions"}
FACTORS = {"mfa_activate_totp", "mfa_deactivate_totp", "mfa_generate_recovery_codes", "mfa_view_recovery_codes"}
FACTORS |= {"mfa_add_webauthn", "mfa_remove_webauthn"}
EXPORTS = {"mailbox:message_eml", "outbox:eml", "mailbox:export_new", "mailbox:export_file", "mailbox:export_manifest"}
EXPORTS |= {
    "mailbox:messages_csv",
    "list_export",
    "personal_data",
    "personal_data_search",
    "personal_data_export",
    "personal_data_erase",
}
ASKED_AGAIN = SECRETS | KEYS | ROLES | FACTORS | EXPORTS

now_seconds = time.time


def note_proof(request: HttpRequest, **extra: Any) -> None:
    """Store the time of a reauthentication in the session. Receiver of allauth's authentication_step_completed."""
    if extra.get("reauthenticated"):
        request.session["proved_at"] = int(now_seconds())


def is_fresh(request: HttpRequest, times: int) -> bool:
    """Whether the last sign-in or reauthentication was within `times` times PRX_EMAIL_STEP_UP_MINUTES."""
    proved_at = max(request.session.get("proved_at", 0), request.session.get("began_at", 0))
    return bool(now_seconds() - proved_at < times * 60 * settings.STEP_UP_MINUTES)


class StepUpMiddleware:
    """Asks for reauthentication before the views in ASKED_AGAIN, CSV files of lists, and all pages of Django's admin.

    Place it after LoginRequiredMiddleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """None to go on, else the redirect that asks for reauthentication."""
        name = request.resolver_match.view_name if request.resolver_match else ""
        is_list = request.GET.get("format") == "csv"  # a list as a file
        is_covered = is_list or name in ASKED_AGAIN or (name.startswith("admin:") and name != "admin:login")
        if not is_covered or not request.user.is_authenticated:
            return None
        if is_fresh(request, TO_OPEN if request.method in ("GET", "HEAD") else TO_SEND):
            return None
        return ask_again(request)


def ask_again(request: HttpRequest) -> HttpResponse:
    """Redirect to the first way of reauthentication, which after a GET leads back to this page.

    The content of a form is not kept, as it may contain secrets.
    """
    back = {"next": request.get_full_path()} if request.method in ("GET", "HEAD") and not is_poll(request) else {}
    methods = get_adapter().get_reauthentication_methods(request.user)
    # A person with neither password nor second factor must sign in again.
    url = methods[0]["url"] if methods else reverse("login")
    return redirect(f"{url}?{urlencode(back | ({} if methods else {'again': '1'}))}")
