"""The change of one's own e-mail address, confirmed by a link to the new one, which is valid for this user only."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from mailbox.models import AuditEntry
from people.links import mails
from people.models import EmailChange
from people.sign_in import audit

A_DAY = 5  # changes that one user may ask for in a day


class TooManyChanges(Exception):
    """The user has asked for A_DAY changes within a day; each sends a mail to an address that may be a stranger's."""


def ask(user: User, email: str) -> bool:
    """Store the requested address and queue the link; False when no mail could be queued. Raises TooManyChanges.

    If another user has the address, the outbox drops the mail when it would be sent, so that the answer does not tell.
    """
    verb, since = "asked_for_email", timezone.now() - timedelta(days=1)
    if AuditEntry.objects.filter(user=user, verb=verb, at__gt=since).count() >= A_DAY:
        raise TooManyChanges
    defaults = {"email": email, "asked_at": timezone.now()}
    with transaction.atomic():
        AuditEntry.objects.create(user=user, verb=verb, target=audit.target_of(user))
        change, _made = EmailChange.objects.update_or_create(user=user, defaults=defaults)
    return mails.confirm_email(change)


def confirm(change: EmailChange) -> bool:
    """Set the new address and notify the former one. False when a concurrent request did so, or the user has changed
    meanwhile."""
    user, former = change.user, change.user.email
    with transaction.atomic():
        if not EmailChange.objects.filter(pk=change.pk, email=change.email).delete()[0]:
            return False
        if not User.objects.filter(pk=user.pk, email=former, is_active=True).update(email=change.email):
            return False
        AuditEntry.objects.create(user=user, verb="change_email", target=audit.target_of(user))
    mails.tell_email_changed(user, former)
    return True
