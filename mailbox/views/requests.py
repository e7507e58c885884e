"""Reads values from requests: the user, primary keys, times, the page to return to. Invalid values give a 400 page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from mailbox.permissions import accounts_for, has_role_everywhere


class Refused(BadRequest):
    """The URL or form has an invalid value; str() is the sentence on the 400 page."""


def signed_in_user(request: HttpRequest) -> User:
    """The signed-in user; LoginRequiredMiddleware lets no other request reach a view."""
    return cast(User, request.user)


def number_of(request: HttpRequest, name: str) -> int | None:
    """A primary key in the query; None when it is absent. Raises Http404 for an invalid one."""
    given = request.GET.get(name, "")
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise Http404(f"No such {name}.")
    return int(given)


def of_accounts(
    rows: QuerySet[Any], request: HttpRequest, role: str = "viewer", field: str = "account"
) -> QuerySet[Any]:
    """The rows whose account (`field`) the user has this role for; all, without a condition, if for all accounts."""
    user = request.user
    return rows if has_role_everywhere(user, role) else rows.filter(**{f"{field}__in": accounts_for(user, role)})


def posted_key(request: HttpRequest, name: str) -> int | None:
    """A primary key in the posted form; None when it is absent or invalid."""
    given = request.POST.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 18 else None


def shown_pause(request: HttpRequest) -> datetime | None:
    """The time of the pause that the page showed when its user pressed Resume; None when the form has none.

    A pause made since then, as after a restored database, must not be ended by that click.
    """
    return posted_time(request, "paused_at")


def posted_time(request: HttpRequest, name: str) -> datetime | None:
    """An aware time in the posted form (ISO 8601), in UTC; None when it is absent or invalid."""
    try:
        at = datetime.fromisoformat(request.POST.get(name, ""))
        # In UTC, as PostgreSQL refuses offsets of 16 hours and more.
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def back_to(request: HttpRequest, otherwise: str) -> str:
    """The page that the form asks to return to, if it is one of this site; else `otherwise`."""
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # Only a path: redirect() takes another text for the name of a view, and raises if there is none.
    return target if safe and target.startswith("/") else otherwise
