"""The switch PRX_EMAIL_NETWORK. At 0 no connection leaves: for staging, and for a restored copy that is looked into.

Whoever opens a connection to another's server, or asks its name, calls `demand` first. Workers ask `is_off` and leave
everything as it is, so that no mail and no account is blamed for it. The installation's own database, broker and store
are no others' servers.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_noop

OFF = gettext_noop("No connection leaves this installation: PRX_EMAIL_NETWORK is 0.")


class NotMade(OSError):
    """A connection that was not made, on purpose; str() is a sentence that says why."""


class NetworkOff(NotMade):
    """PRX_EMAIL_NETWORK is 0."""

    def __init__(self) -> None:
        super().__init__(OFF)


def is_off() -> bool:
    return not settings.NETWORK


def demand() -> None:
    """Raise NetworkOff when no connection may leave."""
    if is_off():
        raise NetworkOff
