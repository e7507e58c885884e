"""Requests for forgotten passwords: a page takes an address, a worker sends the link.

So the page's text and duration are the same for every address, and do not tell whether a user has it. Each request is a
row, whether or not anybody has the address; it is kept for a day to count requests.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from mailbox.models import AuditEntry
from mailbox.queueing import queue
from people.links import mails, tokens
from people.models import PasswordRequest
from people.sign_in import audit
from people.sign_in.client_address import client_address, counted_address

KEPT = timedelta(days=1)
STALE = timedelta(hours=1)  # older requests are not answered any more
MAILS_AN_HOUR = 3  # to one address; if more are requested, it is by somebody else


class TooManyRequests(Exception):
    """This client has made too many requests, for any addresses."""


def ask(request: HttpRequest, email: str) -> None:
    """Store a request for a link to this address, and queue its answer. Raises TooManyRequests."""
    now, client = timezone.now(), counted_address(request)
    since = now - timedelta(minutes=settings.SIGN_IN_LOCK_MINUTES)
    if PasswordRequest.objects.filter(client=client, asked_at__gt=since).count() >= settings.AXES_FAILURE_LIMIT:
        raise TooManyRequests
    PasswordRequest.objects.create(email=email.strip().lower(), client=client, address=client_address(request))
    queue("people.tasks.answer_password_requests", group="people")


def answer_all(now: datetime) -> int:
    """Send the links that were asked for; return how many requests were answered. It may run twice: the outbox accepts
    each idempotency key once."""
    answered = 0
    for row in PasswordRequest.objects.filter(answered_at=None, asked_at__gt=now - STALE).order_by("pk")[:100]:
        if all([_answer(row, user) for user in _people_with(row.email)] if _may_have_more(row) else []):
            answered += PasswordRequest.objects.filter(pk=row.pk, answered_at=None).update(answered_at=now)
    PasswordRequest.objects.filter(asked_at__lt=now - KEPT).delete()
    return answered


def _may_have_more(row: PasswordRequest) -> bool:
    since = row.asked_at - timedelta(hours=1)
    before = PasswordRequest.objects.filter(email=row.email, asked_at__gt=since, pk__lt=row.pk)
    return before.count() < MAILS_AN_HOUR


def _people_with(email: str) -> QuerySet[User]:
    """The active users with this address, except superusers and users who sign in by single sign-on only: a mail must
    not be enough to take them over."""
    by_sign_on = Exists(SocialAccount.objects.filter(user=OuterRef("pk")))
    found = User.objects.filter(email__iexact=email, is_active=True, is_superuser=False)
    return found.exclude(by_sign_on, password__startswith=UNUSABLE_PASSWORD_PREFIX)


def _answer(row: PasswordRequest, user: User) -> bool:
    """Queue the mail for one user; False when it must be tried again."""
    if not tokens.may_have_link(user):
        return True
    if not mails.password_link(user, f"people.password:{row.pk}:{user.pk}"):
        return False
    AuditEntry.objects.create(verb="asked_for_password", target=audit.target_of(user), detail=row.address)
    return True
