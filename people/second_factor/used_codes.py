"""Accepts each code of an authenticator app once (RFC 6238, 5.2), across all processes.

allauth notes used codes in Django's cache, which here each process has for itself.
"""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.auth.models import User

from mailbox import credentials
from people.models import LastCode


def use(authenticator: Authenticator, code: str) -> bool:
    """Mark a correct code as used; return False when it was used before."""
    secret = credentials.decrypt(authenticator.data["secret"]) or ""
    period = period_of(secret, code)
    return period is not None and claim(authenticator.user, period)


def claim(user: User, period: int) -> bool:
    """Mark the time step as used; False when it, or a later one, was used before. One UPDATE decides, so of two
    concurrent uses one succeeds."""
    LastCode.objects.get_or_create(user=user)
    return LastCode.objects.filter(user=user, period__lt=period).update(period=period) == 1


def period_of(secret: str, code: str) -> int | None:
    """The time step near now that the code belongs to, or None."""
    digits = "".join(each for each in code if each.isdigit())
    found = (each for each in yield_hotp_counters_from_time() if format_hotp_value(hotp_value(secret, each)) == digits)
    return next((int(each) for each in found), None)
