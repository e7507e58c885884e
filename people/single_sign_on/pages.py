"""The redirect to the provider, and its callback. A link leads to the first, since the CSP's `form-action` forbids a
form whose answer redirects to another site."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from functools import wraps
from typing import cast

from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe
from requests import RequestException

from mailbox.logs import event
from people.sign_in.refusals import refused
from people.single_sign_on.protocol import Adapter

logger = logging.getLogger(__name__)


def _explained(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Wrap a view: redirect to the sign-in page where no provider is configured, and show a page with the reason where
    the provider does not answer or its answer is refused."""

    @login_not_required
    @require_safe
    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        if not settings.SSO_ISSUER:
            return redirect("login")
        try:
            return view(request)
        except ImmediateHttpResponse as answer:
            return cast(HttpResponse, answer.response)
        except RequestException as error:
            return failed(request, "unreachable", error, 502)
        except IntegrityError as error:  # a concurrent first sign-in of the same person has created the user
            return failed(request, "failed", error, 503)
        except (OAuth2Error, ValueError, KeyError, TypeError, AttributeError) as error:
            return failed(request, "failed", error, 502)

    return wrapped


def failed(request: HttpRequest, reason: str, error: Exception | None, status: int = 403) -> HttpResponse:
    """Log the failure and return the page that explains it. The log has only the error's type: its text may contain a
    URL with a code."""
    event(logger, "sign_on_failed", logging.WARNING, reason=reason, error=type(error).__name__)
    return refused(request, reason, status)


@_explained
def begin(request: HttpRequest) -> HttpResponse:
    """Redirect to the provider. For a person who is signed in this is a reauthentication, so the provider is asked for
    a fresh sign-in (`prompt`, `max_age`: Core 1.0, 3.1.2.1)."""
    nonce, again = secrets.token_urlsafe(32), request.user.is_authenticated
    more = {"prompt": "login", "max_age": "0"} if again else {}
    provider = Adapter(request).get_provider()
    answer = provider.redirect(
        request,
        process=AuthProcess.LOGIN,
        next_url=get_next_redirect_url(request),
        auth_params={"nonce": nonce, **more},
        nonce=nonce,
        again_at=int(time.time()) if again else None,
    )
    return cast(HttpResponse, answer)


@_explained
def callback(request: HttpRequest) -> HttpResponse:
    """The provider's answer: sign in, or the page that says why not."""
    return cast(HttpResponse, OAuth2CallbackView.adapter_view(Adapter(request))(request))
