"""Records sign-ins and failed ones: a line in the log and an entry in the audit, which the profile page shows.

A user name that does not exist is not recorded, as people type passwords into that field by mistake. When the limit of
failures is reached, no more entries are written until the lock ends, so that nobody can fill the table (django-axes
keeps the counts).
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from mailbox.logs import event
from mailbox.models import AuditEntry
from people.sign_in.client_address import client_address

logger = logging.getLogger(__name__)
AGENT_LENGTH = 200
SIGNED_IN, FAILED, LOCKED = "sign_in", "sign_in_failed", "sign_in_locked"
REFUSED = "sign_in_refused"
VERBS = (SIGNED_IN, FAILED, LOCKED, REFUSED)


def target_of(user: User) -> str:
    """The user as the `target` of an audit entry."""
    return f"user:{user.pk}"


def of_user(user: User) -> QuerySet[AuditEntry]:
    """The user's sign-in entries, newest first."""
    return AuditEntry.objects.filter(target=target_of(user), verb__in=VERBS).order_by("-pk")


def note_client(request: HttpRequest | None, **_: Any) -> None:
    """Store the client's address and user agent in the new session. Receiver of user_logged_in."""
    if request is not None and hasattr(request, "session"):
        request.session["address"] = client_address(request)
        request.session["agent"] = request.META.get("HTTP_USER_AGENT", "")[:AGENT_LENGTH]
        request.session["began_at"] = request.session["seen_at"] = int(time.time())


def record_sign_in(request: HttpRequest, user: User, method: str = "password") -> None:
    """Log and record a sign-in. `method`: as allauth names it, "password" or with its second factor."""
    event(logger, "signed_in", user=user.pk, address=client_address(request), method=method)
    AuditEntry.objects.create(user=user, verb=SIGNED_IN, target=target_of(user), detail=client_address(request))


def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Receiver of user_login_failed. It runs after django-axes' receiver, which notes whether the limit is reached."""
    if request is None:
        return
    user = User.objects.filter(username=credentials.get("username") or "").first()
    is_locked = bool(getattr(request, "axes_locked_out", False))
    verb = LOCKED if is_locked else FAILED
    event(
        logger,
        verb,
        logging.WARNING,
        user=user.pk if user else "unknown",
        address=client_address(request),
    )
    if user is not None and not (is_locked and _is_locked_already(user)):
        AuditEntry.objects.create(verb=verb, target=target_of(user), detail=client_address(request))


def record_refusal(request: HttpRequest, user: User | None, reason: str) -> None:
    """Record a sign-in that single sign-on refused; only in the log when the person has no user here."""
    address = client_address(request)
    event(logger, REFUSED, logging.WARNING, user=user.pk if user else "unknown", address=address, reason=reason)
    if user is not None:
        AuditEntry.objects.create(verb=REFUSED, target=target_of(user), detail=f"{address} {reason}")


def _is_locked_already(user: User) -> bool:
    return of_user(user).values_list("verb", flat=True).first() == LOCKED
