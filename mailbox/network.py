"""The switch PRX_EMAIL_NETWORK. 0 forbids all connections to other servers: for staging, or to inspect a restored copy.

All code that opens a connection to a server outside the installation, or resolves its name, calls `demand` first.
Workers ask `is_off` and then do nothing, so that no mail and no account gets a failure. The installation's own
database, broker and object store are not affected.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_noop

OFF = gettext_noop("No connection leaves this installation: PRX_EMAIL_NETWORK is 0.")


class NotMade(OSError):
    """A connection that was refused by this program itself; str() is a sentence that says why."""


class NetworkOff(NotMade):
    """No connection, because PRX_EMAIL_NETWORK is 0."""

    def __init__(self) -> None:
        super().__init__(OFF)


def is_off() -> bool:
    """Whether PRX_EMAIL_NETWORK is 0: callers then do nothing, where `demand` would raise."""
    return not settings.NETWORK


def demand() -> None:
    """Raise NetworkOff when PRX_EMAIL_NETWORK is 0."""
    if is_off():
        raise NetworkOff
