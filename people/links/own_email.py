"""Another e-mail address of one's own: confirmed by a link to the new one, which works for this person alone."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from mailbox.models import AuditEntry
from people.links import mails
from people.models import EmailChange
from people.sign_in import audit

A_DAY = 5  # changes that one person may ask for


class TooManyChanges(Exception):
    """This person has asked for enough mails to strangers today."""


def ask(user: User, email: str) -> bool:
    """Write the wish down and send the link; False when no mail could be sent. Raises TooManyChanges.

    Nothing says whether another person has the address: then the mail is not sent.
    """
    verb, since = "asked_for_email", timezone.now() - timedelta(days=1)
    if AuditEntry.objects.filter(user=user, verb=verb, at__gt=since).count() >= A_DAY:
        raise TooManyChanges
    AuditEntry.objects.create(user=user, verb=verb, target=audit.target_of(user))
    defaults = {"email": email, "asked_at": timezone.now()}
    change, _made = EmailChange.objects.update_or_create(user=user, defaults=defaults)
    return mails.confirm_email(change)


def confirm(change: EmailChange) -> bool:
    """Take the new address; False when another request did, or another user has it by now. The old one is notified."""
    user, former = change.user, change.user.email
    with transaction.atomic():
        if not EmailChange.objects.filter(pk=change.pk, email=change.email).delete()[0]:
            return False
        if not User.objects.filter(pk=user.pk, email=former, is_active=True).update(email=change.email):
            return False
        AuditEntry.objects.create(user=user, verb="change_email", target=audit.target_of(user))
    mails.tell_email_changed(user, former)
    return True
