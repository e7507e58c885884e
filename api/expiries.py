"""Expiry dates of the API, for alerts: tokens of programs, and the certificate of SMTP submission."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_noop

from alerts.problems.expiries import Expiry, first_end
from api.models import Token
from api.submission.configuration import Configuration


def token_expiries() -> Iterator[Expiry]:
    """What expires here, for alerts; AppConfig.ready adds it to alerts.problems.expiries.elsewhere."""
    yield from _tokens()
    yield from _certificate(settings.SUBMISSION)


def _tokens() -> Iterator[Expiry]:
    """Tokens that have not expired yet: programs with expired ones have been refused already."""
    what = gettext_noop("The API token %(name)s")
    then, path = gettext_noop("Make a new one and give it to the program."), reverse("api:tokens")
    for token in (
        Token.objects.filter(expires_at__gt=timezone.now()).select_related("user").order_by("expires_at")[:500]
    ):
        name = f"“{token.name}” ({token.user.get_username()})"
        yield Expiry(f"api_token:{token.pk}", what, token.expires_at, then, path, None, token.created_at, name)


def _certificate(submission: Configuration) -> Iterator[Expiry]:
    """The certificate's expiry, if this host has its file: pages and workers may run on other hosts than submission."""
    if not (submission.starttls or submission.tls):
        return
    try:
        at = first_end(submission.certificate.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return
    if at is not None:
        then = gettext_noop("Renew it, or no program can hand mail over; the new file is read by itself.")
        what = gettext_noop("The certificate of SMTP submission")
        yield Expiry("submission_certificate", what, at, then, reverse("alerts:endings"))
