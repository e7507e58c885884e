"""What `manage.py check --deploy` says of sign-in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning


def trusted_proxies_are_named(**_: Any) -> list[CheckMessage]:
    """Behind a proxy that is not named, all clients have the proxy's address: one that guesses shuts out everybody."""
    if not settings.HTTPS or settings.TRUSTED_PROXIES:
        return []
    return [
        Warning(
            "PRX_EMAIL_TRUSTED_PROXIES is not set, so all people seem to sign in from the proxy's one address.",
            hint="Set it to the proxy's address, such as 127.0.0.1: then X-Forwarded-For is believed from there alone.",
            id="people.W001",
        )
    ]
