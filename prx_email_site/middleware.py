"""Headers of every response, and failures turned into pages."""

import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

from mailbox.permissions import language_of, time_zone_of
from mailbox.storage.raw_store import RawOutOfReach
from prx_email_site import error_pages

# No inline script or style, nothing from elsewhere.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)


class ContentSecurityPolicyMiddleware:
    """The policy of our own pages, and who may keep them. A view that serves received mail sets a stricter one.

    Pages with mail are kept by no browser (no-store). Others are no-cache: with no-store, "Back" to a form that was
    refused would show it empty.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        keep = "no-store" if shows_mail(request) else "no-cache"
        response.headers.setdefault("Cache-Control", f"private, {keep}")
        return response


def shows_mail(request: HttpRequest) -> bool:
    """Whether the address is one of mail, received or sent, or of a list of it. The form to write one is none."""
    name = request.resolver_match.view_name if request.resolver_match else ""
    return name.startswith(("mailbox:message", "mailbox:search", "mailbox:quarantine")) or (
        name.startswith("outbox:") and name not in ("outbox:compose", "outbox:policy")
    )


class SignedOutPollMiddleware:
    """A partial update whose session has ended reloads the page, which then asks to sign in.

    Without this, htmx follows the redirect and puts the sign-in page into the fragment's place.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        to_login = response.status_code == 302 and response.headers["Location"].startswith(
            resolve_url(settings.LOGIN_URL)
        )
        if to_login and request.headers.get("HX-Request") == "true":
            return HttpResponse(headers={"HX-Refresh": "true"})
        return response


class BusyMiddleware:
    """A view that waited in vain for a locked row, whose stored file this host does not have, or whose database or disk
    is away or full, answers with a page that says so and keeps the form, not with a 500."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, RawOutOfReach):
            return error_pages.out_of_reach(request, exception.segment)
        return error_pages.storage_trouble(request, exception)


class LanguageMiddleware:
    """Pages speak the language that the user chose, else the first of the browser's that there is a catalogue for.

    In place of Django's LocaleMiddleware, which knows no user and leaves its language to what the thread does next.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        chosen = language_of(request.user) if request.user.is_authenticated else ""
        # A catalogue that was there when it was chosen may be gone.
        chosen = chosen if chosen in dict(settings.LANGUAGES) else ""
        language = chosen or translation.get_language_from_request(request)
        request.LANGUAGE_CODE = language
        with translation.override(language):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        if not chosen:
            patch_vary_headers(response, ("Accept-Language",))
        return response


class TimeZoneMiddleware:
    """Times are shown, and taken, in the user's zone for as long as the request lasts; else in the site's own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # override() leaves the thread as it was: it serves others next.
        with timezone.override(self._zone(request)):
            return self.get_response(request)

    @staticmethod
    def _zone(request: HttpRequest) -> zoneinfo.ZoneInfo | None:
        if not request.user.is_authenticated:
            return None
        name = time_zone_of(request.user)
        try:
            return zoneinfo.ZoneInfo(name) if name else None
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # this machine's tz database no longer knows it
            return None
