"""Writes an audit entry when a second factor is added, removed or reset (receivers of allauth's signals)."""

from __future__ import annotations

from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.http import HttpRequest

from mailbox.models import AuditEntry
from people.sign_in import audit


def connect() -> None:
    """Connect the receivers; called once, by AppConfig.ready."""
    signals.authenticator_added.connect(added, dispatch_uid="people.second_factor.audit")
    signals.authenticator_removed.connect(removed, dispatch_uid="people.second_factor.audit")
    signals.authenticator_reset.connect(added, dispatch_uid="people.second_factor.audit")


def added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """Receiver for a new factor, and for recovery codes that were made anew."""
    _note("second_factor_added", user, authenticator)


def removed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """Receiver for a factor that was removed."""
    _note("second_factor_removed", user, authenticator)


def _note(verb: str, user: User, authenticator: Authenticator) -> None:
    AuditEntry.objects.create(user=user, verb=verb, target=audit.target_of(user), detail=authenticator.type)
