"""The mails of this site to its users. A link is inserted only when the mail is sent (outbox.compose.private_part)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext

from mailbox.logs import event
from mailbox.permissions import language_of
from outbox import api
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.compose.private_part import MAKERS, PLACE, NothingToSay
from people.links import confirmations, invitations, site_mail, tokens
from people.links.tokens import LinkPurpose
from people.models import EmailChange

logger = logging.getLogger(__name__)
Words = tuple[str, str]  # subject, text


def make_known() -> None:
    """Register the links as private parts, which outbox.compose.private_part inserts when a mail is sent."""
    MAKERS["people.invitation"] = _maker(LinkPurpose.INVITATION)
    MAKERS["people.password"] = _maker(LinkPurpose.PASSWORD)
    MAKERS["people.email"] = _confirmation


def _maker(purpose: LinkPurpose) -> Callable[[int, Sequence[str]], str]:
    def make(pk: int, recipients: Sequence[str]) -> str:
        user = User.objects.filter(pk=pk).first()
        if user is None or not tokens.may_have_link(user) or not _is_for(recipients, user.email):
            raise NothingToSay(gettext("The person was switched off, removed or given another address meanwhile."))
        if user.is_superuser:
            raise NothingToSay(gettext("A user with all rights gets no link by mail."))
        if purpose == LinkPurpose.INVITATION and not invitations.is_pending(user):
            raise NothingToSay(gettext("The person chose a password meanwhile."))
        return tokens.link_for(user, purpose)

    return make


def _confirmation(pk: int, recipients: Sequence[str]) -> str:
    change = EmailChange.objects.select_related("user").filter(pk=pk).first()
    if change is None or not _is_for(recipients, change.email) or not confirmations.may_be_confirmed(change):
        raise NothingToSay(gettext("The person asked for another address meanwhile, or for none."))
    return confirmations.link_for(change)


def _is_for(recipients: Sequence[str], email: str) -> bool:
    return [each.lower() for each in recipients] == [email.lower()]


def invite(user: User, by: User | None) -> bool:
    """Queue the invitation; False when no account sends the site's own mail, or it could not be queued.

    `by` is None on the command line, where nobody is signed in.
    """
    with _language_of(user, language_of(by) if by else ""):
        subject = gettext("You are invited to PRX-Email")
        text = gettext(
            "%(by)s invites you to PRX-Email at %(site)s.\n\nYour user name is %(name)s. Choose your password here:\n\n"
            "%(link)s\n\nThe link is good once, for seven days. If you expected no invitation, do nothing."
        ) % {
            "by": _name_of(by) if by else gettext("An administrator"),
            "site": settings.BASE_URL,
            "name": user.get_username(),
            "link": PLACE,
        }
    return _queue(user.email, (subject, text), private_part=f"people.invitation:{user.pk}", user=by)


def password_link(user: User, key: str | None = None, by: User | None = None) -> bool:
    """Queue a mail with a link to choose a new password. `key`: an idempotency key, so that retries make one mail."""
    with _language_of(user):
        subject = gettext("A new password for PRX-Email")
        text = gettext(
            "A new password was asked for at %(site)s, for the user name %(name)s. Choose it here:\n\n%(link)s\n\n"
            "The link is good once, for an hour. If you did not ask, do nothing: your password stays as it is."
        ) % {"site": settings.BASE_URL, "name": user.get_username(), "link": PLACE}
    part = f"people.password:{user.pk}"
    return _queue(user.email, (subject, text), private_part=part, idempotency_key=key, user=by)


def confirm_email(change: EmailChange) -> bool:
    """Queue the mail with the link that confirms a new address; False if the site's own mail cannot be sent."""
    with _language_of(change.user):
        subject = gettext("Confirm your address for PRX-Email")
        text = gettext(
            "%(name)s wants to use this address at %(site)s. Confirm it here, signed in as %(name)s:\n\n%(link)s\n\n"
            "The link is good for an hour. If you are not this person, do nothing."
        ) % {"site": settings.BASE_URL, "name": change.user.get_username(), "link": PLACE}
    return _queue(change.email, (subject, text), private_part=f"people.email:{change.pk}", user=change.user)


def tell_email_changed(user: User, former: str) -> bool:
    """Notify the former address, so that somebody who took over a session cannot change the address unnoticed."""
    if not former:
        return False
    with _language_of(user):
        subject = gettext("Your address at PRX-Email was changed")
        text = gettext(
            "Mails of %(site)s to the user name %(name)s now go to another address.\n\nIf this was not you, tell an "
            "administrator at once."
        ) % {"site": settings.BASE_URL, "name": user.get_username()}
    return _queue(former, (subject, text))


def tell_password_set(user: User) -> bool:
    """Queue the news that a link has set the user's password; False without an address, or if it cannot be sent."""
    if not user.email:
        return False
    with _language_of(user):
        subject = gettext("Your password at PRX-Email was changed")
        text = gettext(
            "A new password was chosen at %(site)s for the user name %(name)s, by a link. Every session was ended.\n\n"
            "If this was not you, tell an administrator at once: %(page)s"
        ) % {"site": settings.BASE_URL, "name": user.get_username(), "page": settings.BASE_URL + reverse("login")}
    return _queue(user.email, (subject, text))


def _language_of(user: User, otherwise: str = "") -> Any:
    return translation.override(language_of(user) or otherwise or settings.LANGUAGE_CODE)


def _name_of(user: User) -> str:
    return user.get_full_name() or user.get_username()


def _queue(to: str, words: Words, **more: Any) -> bool:
    account = site_mail.sender()
    if account is None:
        return False
    answer = api.queue_request(account.pk, SendRequest(Request(to, *words, auto_submitted=True), **more))
    if not answer.ok and answer.error:
        event(logger, "site_mail_not_queued", logging.WARNING, account=account.pk, error_code=answer.error.code)
    return answer.ok
