"""People: list, invite, give and take roles, switch on and off, end sessions, withdraw invitations.

As on the pages, except that no answer has a link that sets a password, and that a token gives no role whose scopes it
has not itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, account_of, accounts_of, caller_of
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from api.v1.protocol.refusals import refusal_of
from api.v1.protocol.uses import use_of
from mailbox.permissions import Role
from mailbox.views.pagination import cut
from people.directory import changes, listing
from people.directory.administrators import NOBODY_LEFT, StaysAdministrator, one_stays
from people.directory.invite_form import MOST_ACCOUNTS, InviteForm
from people.links import invitations, mails

router = Router(tags=["people"])


class PersonState(Schema):
    """A user. `role`: the role for all accounts; empty: none."""

    id: int
    username: str
    email: str
    full_name: str
    role: str
    for_some: int = Field(description="The number of accounts with a role of their own.")
    is_active: bool
    is_superuser: bool = Field(description="Has all rights, whatever the roles.")
    is_invited: bool = Field(description="Was invited and has never signed in.")
    has_factor: bool = Field(description="Has a second factor.")

    @classmethod
    def fields(cls, row: Any) -> dict[str, Any]:
        """The values of a row of listing.people()."""
        listed = listing.Listed(row, listing.role_of(row))
        counted = {"for_some": row.for_some, "has_factor": row.has_factor, "is_invited": listed.is_invited}
        return columns(cls, row) | counted | {"full_name": row.get_full_name(), "role": listed.role}


class AccountRole(Schema):
    """A role for one account."""

    account_id: int
    role: str


class PersonWhole(PersonState):
    """A user with the roles for single accounts."""

    accounts: list[AccountRole]


class Invited(PersonWhole):
    """An invited user. `is_mailed`: a link to choose a password is on its way."""

    is_mailed: bool = Field(
        description="false: no account sends the site's own mail; copy a link on the person's page."
    )


class Invitation(Asked):
    """Whom to invite. The address is also the name to sign in with."""

    email: Annotated[Text, Field(max_length=150)]
    full_name: Annotated[Text, Field(max_length=200)] = ""
    role: Role
    account_ids: Annotated[list[Number], Field(min_length=1, max_length=MOST_ACCOUNTS)] | None = Field(
        default=None, description="null: the role is for all accounts, those to come as well."
    )


class GivenRole(Asked):
    """A role; empty: none."""

    role: Role | Literal[""]


class Activation(Asked):
    """Whether the person may sign in."""

    is_active: bool


PERSON = {200: Answer[PersonWhole], **FAILURES}


def _administrator(request: HttpRequest) -> User:
    """The token's user. Raises TokenRefused unless the token may manage people."""
    caller_of(request).demand_everywhere(Scope.PEOPLE)
    return caller_of(request).token.user


def _person(pk: int) -> Any:
    return get_object_or_404(listing.people(), pk=pk)


def _fields(pk: int) -> dict[str, Any]:
    row = _person(pk)
    grants = row.account_grants.order_by("account_id").values_list("account_id", "role")
    accounts = [AccountRole(account_id=account, role=role) for account, role in grants]
    return PersonState.fields(row) | {"accounts": accounts}


def _whole(pk: int) -> Answer[PersonWhole]:
    return Answer(data=PersonWhole(**_fields(pk)))


@contextmanager
def _changing(request: HttpRequest, pk: int) -> Iterator[tuple[User, User]]:
    """(the token's user, the person to change), with If-Match heeded. Raises TokenRefused, Http404, PermissionDenied,
    Changed; Conflict when it would leave no administrator."""
    by, person = _administrator(request), _person(pk)
    changes.require_may_change(by, person)
    try:
        # One order of locks, as the changes themselves take that of one_stays() first.
        with one_stays(), unchanged(request, User.objects.filter(pk=pk), lambda: _whole(pk)):
            yield by, person
    except StaysAdministrator:
        raise Conflict(str(NOBODY_LEFT)) from None


@router.get("/people", response={200: Answer[Page[PersonState]], **FAILURES}, operation_id="list_people")
def list_people(
    request: HttpRequest, q: Annotated[Text, Field(max_length=150)] = "", limit: Limit = 50, after: Text = ""
) -> Answer[Page[PersonState]]:
    """The users, sorted by user name. `q`: a part of the user name, the address or the last name; `after` is the `next`
    of the previous page."""
    _administrator(request)
    rows = listing.matching(q.strip())
    page, last = cut(list((rows.filter(username__gt=after) if after else rows)[: limit + 1]), limit)
    items = [PersonState(**PersonState.fields(row)) for row in page]
    return Answer(data=Page(items=items, next=last.username if last else None))


@router.post("/people", response={201: Answer[Invited], **FAILURES}, operation_id="invite")
def invite(
    request: HttpRequest, given: Invitation, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[Invited]] | HttpResponse:
    """Invite a person, who chooses a password by a link in a mail. The token needs the scopes of the role, too."""
    by = _administrator(request)
    caller_of(request).demand_scopes_of(given.role)
    emails = [each.email for each in accounts_of(request, given.account_ids or [], Scope.PEOPLE)]
    if not settings.LOCAL_PASSWORDS:
        raise Conflict(
            gettext(
                "Passwords are switched off here. Give your colleague one of the groups that have a role; their user "
                "is made when they first sign in."
            )
        )

    def create() -> Status[Answer[Invited]]:
        form = InviteForm(given.model_dump(exclude={"account_ids"}) | {"accounts": "\n".join(emails)})
        user = form.create(by) if form.is_valid() else None
        if user is None:
            raise refusal_of(form)
        is_mailed = mails.invite(user, by)
        return Status(201, Answer(data=Invited(**_fields(user.pk), is_mailed=is_mailed)))

    return once(request, idempotency_key, create)


@router.get("/people/{pk}", response=PERSON, operation_id="get_person")
def get_person(request: HttpRequest, pk: Path[Number]) -> Answer[PersonWhole]:
    """One user. Its ETag is for If-Match."""
    _administrator(request)
    return _whole(pk)


@router.put("/people/{pk}/role", response=PERSON, operation_id="change_role", openapi_extra=IF_MATCH)
def change_role(request: HttpRequest, pk: Path[Number], given: GivenRole) -> Answer[PersonWhole]:
    """Give a role for all accounts, or take it; the token needs the scopes of the role, too. The last administrator
    keeps it: 409. Heeds If-Match, with the person's ETag."""
    with _changing(request, pk) as (by, person):
        _demand_scopes(request, given)
        changes.set_role(by, person, given.role)
    return _whole(pk)


@router.put(
    "/people/{pk}/accounts/{account}",
    response=PERSON,
    operation_id="change_role_for_account",
    openapi_extra=IF_MATCH,
)
def change_role_for_account(
    request: HttpRequest, pk: Path[Number], account: Path[Number], given: GivenRole
) -> Answer[PersonWhole]:
    """Give a role for one account, or take it; the token needs the scopes of the role, too. Heeds If-Match, with the
    person's ETag."""
    with _changing(request, pk) as (by, person):
        _demand_scopes(request, given)
        changes.set_grant(by, person, account_of(request, account, Scope.PEOPLE), given.role)
    return _whole(pk)


def _demand_scopes(request: HttpRequest, given: GivenRole) -> None:
    if given.role:
        caller_of(request).demand_scopes_of(given.role)


@router.put("/people/{pk}/active", response=PERSON, operation_id="switch_person", openapi_extra=IF_MATCH)
def switch_person(request: HttpRequest, pk: Path[Number], given: Activation) -> Answer[PersonWhole]:
    """Switch a user off, which ends all sessions and refuses all tokens of the person, or on. That gives back whatever
    roles there are, so the token needs all scopes for it. The last administrator stays on: 409. Heeds If-Match, with
    the person's ETag."""
    with _changing(request, pk) as (by, person):
        if given.is_active:
            caller_of(request).demand_scopes_of(Role.ADMINISTRATOR)
        changes.set_active(by, person, given.is_active)
    return _whole(pk)


@router.post("/people/{pk}/sign-out", response=PERSON, operation_id="sign_out_person")
def sign_out_person(request: HttpRequest, pk: Path[Number]) -> Answer[PersonWhole]:
    """End all sessions of a person. Tokens stay."""
    by, person = _administrator(request), _person(pk)
    changes.require_may_change(by, person)
    changes.sign_out(by, person)
    return _whole(pk)


@router.delete(
    "/people/{pk}", response={200: Answer[None], **FAILURES}, operation_id="withdraw_invitation", openapi_extra=IF_MATCH
)
def withdraw_invitation(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Remove an invited person who has never signed in, which ends the link; 409 for others, who can be switched off.
    Heeds If-Match."""
    with _changing(request, pk) as (by, person):
        use_of(request, caller_of(request)).save()  # before the user is gone, whose token may be this one
        if not invitations.withdraw(by, person):
            raise Conflict(str(invitations.SIGNED_IN))
    return Answer(data=None)
