"""Estimates a bulk action before a person confirms it: how many rows it would change, and why it would skip others."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.core import signing
from django.db.models import Count, F
from django.utils.translation import gettext_noop

from mailbox import features
from mailbox.models import Feature
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from outbox.actions.filters import OutboxFilters
from outbox.models import Operation, OutboxMessage
from outbox.models.messages import OutboxQuerySet

Verb, Status, Hold = Operation.Verb, OutboxMessage.Status, OutboxMessage.Hold
ANSWERS = (Verb.MARK, Verb.SEND_AGAIN)  # the two answers to the question whether an uncertain mail was sent
NO_RETRY = (Verb.CANCEL, Verb.MARK)
OPEN = (Status.PENDING, Status.SENDING, Status.FAILED)  # no action changes rows that are sent or cancelled
ASKED_AT_MOST_AGO = timedelta(days=1)  # an older form is not accepted: the page asks again
_SALT = "outbox.bulk.asked"

# The reasons for skipping a row: stored in English and translated when they are shown.
NOT_YOURS = gettext_noop("your role for the account is too low")
DECISION = gettext_noop("it may have gone out already and needs a decision of its own")
NO_QUESTION = gettext_noop("its outcome is no question")
SIGN_IN = gettext_noop("the server refused the account's sign-in")
ON_ITS_WAY = gettext_noop("it is being sent at this moment")
RETRY_OFF = gettext_noop("retrying mail by hand is switched off for the account")
CHANGED = gettext_noop("it changed meanwhile")


@dataclass(frozen=True)
class BulkEstimate:
    """How many rows an action would change now (`will`), and how many it would skip, by reason."""

    will: int
    skipped: Counter[str]

    @property
    def total(self) -> int:
        """The number of rows that the action looks at: those it would change and those it would skip."""
        return self.will + self.skipped.total()


@dataclass(frozen=True)
class BulkQuestion:
    """The question that a page asked a person: which action, on how many rows, at which time.

    The form carries it, signed, and the person's confirmation is valid for these rows only.
    """

    verb: str
    query: str  # the filters, as in the address of the list
    key: str  # a UUID: the same form sent twice makes one operation
    at: float  # seconds since 1970; rows that changed later are skipped
    will: int  # how many rows the page said would be changed
    total: int
    # Pks of rows being sent at `at`. An outcome may have an earlier time and be committed later: the person did not
    # see it.
    in_flight: Sequence[int] = ()

    @property
    def asked_at(self) -> datetime:
        """`at` as a datetime in UTC."""
        return datetime.fromtimestamp(self.at, tz=UTC)

    def sealed(self) -> str:
        """The question as signed text for the form, which unsealed() reads."""
        return signing.dumps(asdict(self), salt=_SALT, compress=True)

    @classmethod
    def unsealed(cls, text: str) -> BulkQuestion | None:
        """The question of a form, or None if the signature is wrong or older than ASKED_AT_MOST_AGO."""
        try:
            return cls(**signing.loads(text, salt=_SALT, max_age=ASKED_AT_MOST_AGO))
        except signing.BadSignature:
            return None


def reason_to_skip(verb: str, status: str, hold: str, *, needs_sign_in: bool, is_operated: bool) -> str:
    """Why a row would be skipped, or "". The action checks its own rules again when it comes to the row."""
    if not is_operated:
        return NOT_YOURS
    if status == Status.SENDING:
        return ON_ITS_WAY
    if verb in ANSWERS:
        return "" if hold == Hold.UNCERTAIN else NO_QUESTION
    if hold == Hold.UNCERTAIN:  # only SEND_AGAIN may send a mail twice
        return DECISION
    if verb == Verb.CANCEL:
        return ""
    return SIGN_IN if hold == Hold.SIGN_IN or needs_sign_in else ""


def estimate(rows: OutboxQuerySet, verb: str, operated: set[int] | None, known: features.Rollouts) -> BulkEstimate:
    """Count the rows that an action would change and skip, by one query. `operated`: from operated_by()."""
    refused = F("account__smtp__needs_sign_in_since")
    open_rows = rows.filter(status__in=OPEN).order_by().annotate(refused=refused)
    groups = open_rows.values_list("status", "hold", "refused", "account_id").annotate(Count("pk"))
    off = set[int]() if verb in NO_RETRY else features.those_off(Feature.OUTBOX_RETRY, known=known)
    will, skipped = 0, Counter[str]()
    for status, hold, refused_since, account_id, number in groups:
        is_operated = operated is None or account_id in operated
        reason = reason_to_skip(verb, status, hold, needs_sign_in=bool(refused_since), is_operated=is_operated)
        reason = RETRY_OFF if not reason and account_id in off else reason
        if reason:
            skipped[reason] += number
        else:
            will += number
    return BulkEstimate(will, skipped)


def operated_by(user: User) -> set[int] | None:
    """The accounts the user may operate; None for all of them."""
    if has_role_everywhere(user, Role.OPERATOR):
        return None
    return set(accounts_for(user, Role.OPERATOR).values_list("pk", flat=True))


def visible_to(user: User) -> OutboxQuerySet:
    """The rows of the accounts that the user may see."""
    rows = OutboxMessage.objects.all()
    return rows if has_role_everywhere(user, Role.VIEWER) else rows.filter(account__in=accounts_for(user))


def matching_rows(filters: OutboxFilters, user: User, now: datetime) -> OutboxQuerySet:
    """The rows that the user may see and that match the filters, with their state. Ages count back from `now`."""
    return filters.of_state(filters.narrow(visible_to(user), now))


def ask(
    filters: OutboxFilters, verb: str, user: User, now: datetime, operated: set[int] | None
) -> tuple[BulkQuestion, BulkEstimate]:
    """The question for a page and its estimate, by two queries. `operated`: from operated_by()."""
    in_flight = visible_to(user).sending().order_by("pk").values_list("pk", flat=True)
    # Read before counting: a row whose sending ends between the two is counted and later skipped, which is harmless.
    moving = list(in_flight)
    known = features.Rollouts.known_to(user)
    found = estimate(unchanged_since(matching_rows(filters, user, now), now), verb, operated, known)
    asked = BulkQuestion(verb, filters.query(), str(uuid.uuid4()), now.timestamp(), found.will, found.total, moving)
    return asked, found


def unchanged_since(rows: OutboxQuerySet, at: datetime) -> OutboxQuerySet:
    """The rows that were not updated after `at`: a person who was asked at that time saw their present state."""
    return rows.filter(updated_at__lte=at)
