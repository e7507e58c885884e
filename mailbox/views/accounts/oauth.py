"""OAuth sign-in of a mailbox: redirect to the provider, the callback, and the page that waits for a worker.

These views open no connection.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.models import Account, OAuthApp, OAuthSignIn
from mailbox.oauth import apps, sign_in
from mailbox.oauth.sign_in import StateRefused
from mailbox.permissions import Role, get_account
from mailbox.tasks import oauth as oauth_tasks
from mailbox.views.accounts.accounts import is_partial
from mailbox.views.accounts.autoconfig import own_lookup, require_administrator
from mailbox.views.requests import Refused, signed_in_user

Status = OAuthSignIn.Status


def callback_address() -> str:
    """The redirect URI, exactly as it is registered at the provider."""
    return settings.BASE_URL + reverse("mailbox:oauth_callback")


def _app(request: HttpRequest) -> OAuthApp:
    given = request.POST.get("app", "")
    pk = int(given) if given.isascii() and given.isdigit() and len(given) < 18 else 0
    app = next((each for each in apps.configured() if each.pk == pk), None)
    if app is None:
        raise Refused(gettext("This provider is not set up; an administrator does it under “Sign-in providers”."))
    return app


@require_POST
def begin_for_account(request: HttpRequest, pk: int) -> HttpResponse:
    """Sign in an account, for the first time or again: the grant replaces the credentials of both transports."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    try:
        app = _app(request)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("mailbox:account_sign_in", pk, "imap")
    is_shared = request.POST.get("shared") == "1" or account.imap.user.lower() != account.email.lower()
    row = _begin(request, app, account.imap.user, account=account, chosen={"shared": is_shared})
    return redirect("mailbox:oauth_sign_in", row.pk)


@require_POST
def begin_new(request: HttpRequest) -> HttpResponse:
    """Add an account by signing in. Its address was looked up, or typed beside the provider's button."""
    require_administrator(request)
    try:
        row = _begin_new(request)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("mailbox:account_add")
    return redirect("mailbox:oauth_sign_in", row.pk)


def _begin_new(request: HttpRequest) -> OAuthSignIn:
    app, found = _app(request), None
    email = request.POST.get("email", "").strip()
    given = request.POST.get("lookup", "")
    if given.isascii() and given.isdigit() and len(given) < 18:
        lookup = own_lookup(request, int(given))
        email, found = lookup.email, autoconfig_lookup.found_by(lookup)
    try:
        validate_email(email)
    except ValidationError as problem:
        raise Refused(gettext("An e-mail address looks like ann@example.com.")) from problem
    chosen = sign_in.servers_for(app, found)
    if not chosen:
        raise Refused(gettext("The servers of this address are not known: add the account with its servers first."))
    if Account.objects.filter(email__iexact=email).exists():
        raise Refused(gettext("An account with this address exists already."))
    return _begin(request, app, email, chosen={**chosen, "shared": request.POST.get("shared") == "1"})


def _begin(request: HttpRequest, app: OAuthApp, email: str, **more: Any) -> OAuthSignIn:
    browser = sign_in.browser_of(request.session)
    return sign_in.begin(app, signed_in_user(request).pk, browser, email, callback_address(), **more)


@require_safe
def callback(request: HttpRequest) -> HttpResponse:
    """The redirect URI: save the authorization code, which a worker exchanges for tokens (RFC 6749, 4.1.2)."""
    try:
        browser = sign_in.browser_of(request.session)
        row = sign_in.returned(request.GET.dict(), signed_in_user(request).pk, browser)
    except StateRefused:
        words = gettext(
            "This answer of a provider belongs to no sign-in of yours that is under way: it was used already, is "
            "older than half an hour, or was begun in another browser. Nothing was changed; begin again."
        )
        messages.error(request, words)
        return redirect("mailbox:accounts")
    if OAuthSignIn.objects.filter(pk=row.pk, status=Status.RETURNED).exists():
        oauth_tasks.queue_finish(row.pk)
    return redirect("mailbox:oauth_sign_in", row.pk)


@require_safe
def under_way(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of a sign-in of this user: redirects to the provider; after the return it waits for the worker."""
    own = OAuthSignIn.objects.filter(asked_by=signed_in_user(request).pk).select_related("app", "account")
    row = own.filter(pk=pk).first()
    if row is None:
        raise Http404("No such sign-in.")
    _check_still_allowed(request, row)
    if row.status == Status.DONE and row.account:
        # `?signed_in=` instead of a message: a browser redirected twice drops the first answer, with its message.
        name = "mailbox:account_folders" if row.adds_account else "mailbox:account"
        page = reverse(name, args=[row.account.pk]) + f"?signed_in={row.pk}"
        return HttpResponse(headers={"HX-Redirect": page}) if is_partial(request) else redirect(page)
    context = {"row": row, "stuck": sign_in.is_stuck(row, timezone.now()), "again": _again(row)}
    if row.status == Status.AWAY:
        context["address"] = sign_in.address_of(row)
    if is_partial(request):
        is_over = row.status == Status.FAILED or context["stuck"]
        return render(request, "mailbox/oauth/_under_way.html", context, status=286 if is_over else 200)
    response = render(request, "mailbox/oauth/under_way.html", context)
    if row.status == Status.AWAY:
        # Refresh instead of a redirect, as CSP's `form-action 'self'` applies to redirects of a posted form too.
        response["Refresh"] = f"0; url={context['address']}"
        response["Referrer-Policy"] = "no-referrer"
    return response


def _check_still_allowed(request: HttpRequest, row: OAuthSignIn) -> None:
    if row.account is not None:
        get_account(request.user, row.account.pk, Role.ADMINISTRATOR)
    else:
        require_administrator(request)


def _again(row: OAuthSignIn) -> str:
    if row.account_id is not None:
        return reverse("mailbox:account_sign_in", args=[row.account_id, "imap"])
    return reverse("mailbox:account_add")
