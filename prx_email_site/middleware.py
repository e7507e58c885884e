"""Middleware: security headers, polls without session, failures of storage, language and time zone."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

from mailbox.permissions import language_of, zone_of
from mailbox.storage.raw_store import RawOutOfReach
from prx_email_site import error_pages

# No inline scripts and styles, no resources of other sites.
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


class ProbeMiddleware:
    """Lets a health check name any host: load balancers ask by address, and no answer repeats the name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith("/health/"):
            request.get_host = lambda: "localhost"  # type: ignore[method-assign]
        return self.get_response(request)


class ContentSecurityPolicyMiddleware:
    """Sets Content-Security-Policy and Cache-Control. A view that serves received mail sets a stricter policy.

    Browsers must not store pages with mail (no-store). Other pages are no-cache: with no-store, "Back" to a refused
    form would show it empty.
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
    """Whether the URL is that of a page with mail or of a list of mail; not that of the compose form."""
    name = request.resolver_match.view_name if request.resolver_match else ""
    return name.startswith(("mailbox:message", "mailbox:search", "mailbox:quarantine")) or (
        name.startswith("outbox:") and name not in ("outbox:compose", "outbox:policy")
    )


class SignedOutPollMiddleware:
    """Makes htmx reload the page if the session of a partial update has ended; the page then asks to sign in.

    Without this, htmx follows the redirect and puts the sign-in page in place of the fragment.
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
    """Responds with a page that explains the trouble and preserves the form, instead of 500, to certain exceptions:

    a row was locked for too long, this host lacks the stored file, or the database or disk is unavailable or full.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page for an exception of stored mail or of the database; None for another one, which becomes a 500."""
        if isinstance(exception, RawOutOfReach):
            return error_pages.out_of_reach(request, exception.segment)
        return error_pages.storage_trouble(request, exception)


class LanguageMiddleware:
    """Activates the language that the user chose, else the browser's first one that has a catalogue.

    Used instead of Django's LocaleMiddleware, which ignores the user and leaves the language active in the thread.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        chosen = language_of(request.user) if request.user.is_authenticated else ""
        # The catalogue of the chosen language may have been removed since.
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
    """Activates the user's time zone for the request; without one the site's own is used."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # override() restores the thread's time zone, as the thread serves other requests next.
        with timezone.override(zone_of(request.user) if request.user.is_authenticated else None):
            return self.get_response(request)
