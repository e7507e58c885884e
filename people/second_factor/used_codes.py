"""A code of an authenticator app is good once (RFC 6238, 5.2), in whichever process it is tried a second time.

allauth marks used codes in Django's cache, which each process here has for itself.
"""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.auth.models import User

from mailbox import credentials
from people.models import LastCode


def use(authenticator: Authenticator, code: str) -> bool:
    """Whether this code, which is right, was not used before; from now on it was."""
    secret = credentials.decrypt(authenticator.data["secret"]) or ""
    period = period_of(secret, code)
    return period is not None and claim(authenticator.user, period)


def claim(user: User, period: int) -> bool:
    """One statement decides: of two who send the same code at one instant, one is let in."""
    LastCode.objects.get_or_create(user=user)
    return LastCode.objects.filter(user=user, period__lt=period).update(period=period) == 1


def period_of(secret: str, code: str) -> int | None:
    """The period about now that the code belongs to; None when it belongs to none."""
    digits = "".join(each for each in code if each.isdigit())
    found = (each for each in yield_hotp_counters_from_time() if format_hotp_value(hotp_value(secret, each)) == digits)
    return next((int(each) for each in found), None)
