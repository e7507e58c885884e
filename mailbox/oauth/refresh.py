"""Refreshes the access token of a grant: one worker does it for all workers and hosts, and no token is lost.

1. A worker claims the refresh by one conditional UPDATE: it takes a lease of LEASE on the grant's row, on
   condition that the row still has the tokens that were read (`generation`).
2. It asks the provider outside of a transaction.
3. It stores the answer by a second UPDATE, on condition that no other tokens were stored meanwhile.

Only stored tokens are used: a rotated refresh token is committed before the access token that came with it is sent to
a server.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from mailbox.clocks import is_over, waits
from mailbox.credentials import DecryptionFailed
from mailbox.errors import MailError, NetworkError, ProviderError, SignInRefused
from mailbox.logs import event
from mailbox.models import Account, OAuthGrant, Transport
from mailbox.oauth import direct
from mailbox.oauth.client import AnswerLost
from mailbox.oauth.lifetimes import columns
from mailbox.oauth.protocol import AppRefused, Tokens

logger = logging.getLogger(__name__)
Failure = OAuthGrant.Failure
Clock = Callable[[], datetime]

LEFT_SECONDS = 60  # an access token that expires within this time is refreshed
LEASE = timedelta(seconds=60)  # three times the longest request
WAIT_SECONDS = 30.0  # longest wait for another worker's refresh
STEP_SECONDS = 0.05
STORE_SECONDS = 300.0  # how long a failing database is retried: the provider's answer exists nowhere else
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 10, 300


class RefreshStep(Enum):
    """The next step for a grant."""

    USE = auto()
    REFRESH = auto()
    WAIT = auto()  # another worker refreshes it
    LATER = auto()  # an earlier refresh failed; the provider is asked again after next_allowed_at
    SIGN_IN = auto()  # a person must consent again


def plan(grant: OAuthGrant, now: datetime) -> RefreshStep:
    """Decide the next step. Pure.

    While a refresh is impossible (ended, too early, claimed by another worker), an access token that has not expired
    is used. A refresh token that expires when unused is used by `use_refresh_by`, even if the access token is valid.
    """
    left = (grant.expires_at - now).total_seconds() if grant.expires_at else float("inf")
    is_unused = grant.use_refresh_by is not None and grant.use_refresh_by <= now
    if not grant.must_refresh and left >= LEFT_SECONDS and not is_unused:
        return RefreshStep.USE
    otherwise = RefreshStep.USE if left > 0 and not grant.must_refresh else None
    if grant.failure == Failure.ENDED or not grant.can_refresh:
        return otherwise or RefreshStep.SIGN_IN
    if waits(grant.next_allowed_at, now):
        return otherwise or RefreshStep.LATER
    if waits(grant.lease_expires_at, now, LEASE):
        return otherwise or RefreshStep.WAIT
    return RefreshStep.REFRESH


def ensure_fresh(account: Account, kind: str, clock: Clock = timezone.now) -> None:
    """Make sure that the account's transport ("imap" or "smtp") holds a valid access token.

    Does nothing for a transport without a grant. It may send a request to the provider, so call it outside of a
    transaction. Raises SignInRefused when a person must consent again, and another MailError when the provider must be
    asked again later.
    """
    transport: Transport = getattr(account, kind)
    if transport.grant_id is not None:
        transport.grant = fresh(transport.grant_id, account.email, transport.user, clock)


def fresh(grant_id: int, email: str, user: str, clock: Clock = timezone.now) -> OAuthGrant:
    """The grant with a valid access token. Raises as ensure_fresh does."""
    until, has_asked = time.monotonic() + WAIT_SECONDS, False
    while True:
        grant = OAuthGrant.objects.select_related("app").get(pk=grant_id)
        step = plan(grant, clock())
        if step is RefreshStep.USE:
            return grant
        if has_asked and step is RefreshStep.REFRESH:
            # Some providers' tokens last for less than LEFT_SECONDS: they are asked once, not again and again.
            if grant.expires_at and grant.expires_at > clock():
                return grant
            raise NetworkError("The provider's access token had ended before it could be used.")
        if step is RefreshStep.SIGN_IN:
            raise _over(grant, clock())
        if step is RefreshStep.LATER:
            raise _later(grant, clock())
        if step is RefreshStep.REFRESH and (lease := _claim(grant, clock())):
            _refresh(grant, lease, email, user, clock)
            has_asked = True
        elif time.monotonic() > until:
            raise NetworkError("Another worker is refreshing the access token of this account.")
        else:
            time.sleep(STEP_SECONDS)


def _claim(grant: OAuthGrant, now: datetime) -> str:
    """Take the lease and return its token; "" when another worker has it or other tokens were stored meanwhile."""
    lease = secrets.token_hex(16)
    free = is_over("lease_expires_at", now, LEASE)
    # asked_at is still set when the answer to an earlier request was never stored. Its time is kept, as a lost answer
    # may be the reason for a refusal (see _with_lost_answer).
    taken = (
        OAuthGrant.objects.not_ended()
        .filter(free, pk=grant.pk, generation=grant.generation)
        .update(
            lease_token=lease,
            lease_expires_at=now + LEASE,
            answer_lost_at=Coalesce(F("asked_at"), F("answer_lost_at")),
            asked_at=now,
        )
    )
    return lease if taken else ""


def _refresh(grant: OAuthGrant, lease: str, email: str, user: str, clock: Clock) -> None:
    try:
        tokens = direct.ask(grant, email, user)
    except Exception as error:
        came_of_it = partial(_failed, grant, lease, error, clock())
    else:
        came_of_it = partial(store, grant, tokens, clock())
    _store(came_of_it)


def _failed(grant: OAuthGrant, lease: str, error: Exception, now: datetime) -> bool:
    if isinstance(error, SignInRefused):
        return _end(grant, lease, error, now)
    if isinstance(error, DecryptionFailed):  # no request was sent, so the grant is still valid
        return _postpone(grant, lease, ProviderError(str(error)), now, Failure.KEY)
    if isinstance(error, MailError):
        return _postpone(grant, lease, error, now, Failure.APP if isinstance(error, AppRefused) else None)
    logger.error("oauth_refresh_crashed", exc_info=error)
    words = f"Unexpected {type(error).__name__}: see the workers' log."
    return _postpone(grant, lease, NetworkError(words), now)


def _store(write: Callable[[], object]) -> None:
    """Call `write`, and again for up to STORE_SECONDS while the database fails; then raise the database's error."""
    until = time.monotonic() + STORE_SECONDS
    while True:
        try:
            write()
            return
        except (DatabaseError, InterfaceError):
            if time.monotonic() > until or connection.in_atomic_block:
                raise
            connection.close_if_unusable_or_obsolete()
            time.sleep(0.2)


_IN_ORDER: dict[str, Any] = {
    "asked_at": None,
    "answer_lost_at": None,
    "lease_token": "",
    "lease_expires_at": None,
    "failure": "",
    "last_reply": "",
    "failure_count": 0,
    "next_allowed_at": None,
    "must_refresh": False,
}


def store(grant: OAuthGrant, tokens: Tokens, now: datetime) -> bool:
    """Commit the provider's tokens; return False when other, newer tokens were stored meanwhile.

    The only condition is the generation, not the lease: if an answer comes after its lease has expired and nobody else
    stored tokens, it is still the only copy.
    """
    return bool(
        OAuthGrant.objects.filter(pk=grant.pk, generation=grant.generation).update(
            **columns(grant, tokens, now),
            **_IN_ORDER,
            generation=F("generation") + 1,
            is_after_refusal=F("must_refresh"),
        )
    )


def _ours(grant: OAuthGrant, lease: str) -> Any:
    return OAuthGrant.objects.filter(pk=grant.pk, generation=grant.generation, lease_token=lease)


def _end(grant: OAuthGrant, lease: str, error: Exception, now: datetime) -> bool:
    """Store that the provider ended the grant, so both transports need a person. False when the lease was lost."""
    words = _with_lost_answer(grant, str(error))
    done = {"last_reply": words, "lease_token": "", "lease_expires_at": None, "asked_at": None}
    is_kept = bool(_ours(grant, lease).update(failure=Failure.ENDED, **done))
    if is_kept:
        _mark_transports(grant, words, now)
        event(logger, "oauth_grant_ended", logging.WARNING, grant=grant.pk)
    return is_kept


def _with_lost_answer(grant: OAuthGrant, words: str) -> str:
    """The provider's words and, where it applies, that the answer to an earlier refresh was lost.

    A provider that accepts each refresh token once treats a second use as theft and ends the grant.
    """
    lost = OAuthGrant.objects.filter(pk=grant.pk).values_list("answer_lost_at", flat=True).first()
    if lost is None:
        return words
    return (
        f"{words} (The answer to an earlier refresh, asked at {lost:%Y-%m-%d %H:%M:%S} UTC, was lost on its way or "
        "with its worker. A provider that takes a refresh token only once then ends the grant.)"
    )


def _mark_transports(grant: OAuthGrant, words: str, now: datetime) -> None:
    rows = Transport.objects.filter(grant=grant.pk)
    rows.filter(needs_sign_in_since=None).update(needs_sign_in_since=now)
    rows.update(last_reply=words)


def _postpone(
    grant: OAuthGrant, lease: str, error: MailError, now: datetime, failure: OAuthGrant.Failure | None = None
) -> bool:
    """Ask the provider again later: after a network error, a 429 or 5xx, or an answer that is not understood.

    `failure`: APP or KEY, when the site's own registration or encryption key is the cause. The grant stays valid then
    too, and refreshes succeed again once the secret or the key is back.
    """
    doublings = 10 if failure else min(grant.failure_count, 10)
    wait = max(min(FIRST_WAIT_SECONDS * 2**doublings, LONGEST_WAIT_SECONDS), error.wait_seconds or 0)
    changes: dict[str, Any] = {
        "last_reply": str(error),
        "failure_count": F("failure_count") + 1,
        "next_allowed_at": now + timedelta(seconds=wait),
        "lease_token": "",
        "lease_expires_at": None,
    }
    if not isinstance(error, AnswerLost):
        changes["asked_at"] = None
    if failure:
        changes["failure"] = failure
    event(logger, "oauth_refresh_postponed", logging.WARNING, grant=grant.pk, seconds=int(wait), reply=str(error))
    return bool(_ours(grant, lease).update(**changes))


def _later(grant: OAuthGrant, now: datetime) -> MailError:
    """The error that says why the provider is not asked now."""
    if grant.failure == Failure.KEY:
        _mark_transports(grant, grant.last_reply, now)
        return SignInRefused(grant.last_reply)
    assert grant.next_allowed_at
    # The provider's words about the site's registration are shown on the provider's page only: on an account's page
    # they would seem to be about the account.
    words = grant.last_reply if not grant.failure else grant.last_reply.partition(": ")[0].rstrip(".") + "."
    return NetworkError(words, wait_seconds=(grant.next_allowed_at - now).total_seconds())


def _over(grant: OAuthGrant, now: datetime) -> SignInRefused:
    words = grant.last_reply
    if not grant.failure:
        words = "The access token has ended, and the provider gave no refresh token: sign in again."
        OAuthGrant.objects.filter(pk=grant.pk, generation=grant.generation).update(
            failure=Failure.ENDED, last_reply=words
        )
    _mark_transports(grant, words, now)
    return SignInRefused(words, reply=words)
