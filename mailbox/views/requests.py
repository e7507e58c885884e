"""What every view asks of a request: who asks, a key, where to go back to. What cannot be is a 400 page."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from mailbox.permissions import accounts_for, has_role_everywhere


class Refused(BadRequest):
    """The address asks for what cannot be; str() is the sentence the 400 page shows."""


def signed_in_user(request: HttpRequest) -> User:
    """The user; LoginRequiredMiddleware has let nobody else through."""
    return cast(User, request.user)


def number_of(request: HttpRequest, name: str) -> int | None:
    """A primary key from the address, None when absent; Http404 for what cannot be one."""
    given = request.GET.get(name, "")
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise Http404(f"No such {name}.")
    return int(given)


def of_accounts(
    rows: QuerySet[Any], request: HttpRequest, role: str = "viewer", field: str = "account"
) -> QuerySet[Any]:
    """The rows whose account the user has this role for; no condition at all for whoever has it everywhere."""
    user = request.user
    return rows if has_role_everywhere(user, role) else rows.filter(**{f"{field}__in": accounts_for(user, role)})


def posted_key(request: HttpRequest, name: str) -> int | None:
    """A primary key that a form bears; None when it bears none."""
    given = request.POST.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 18 else None


def shown_pause(request: HttpRequest) -> datetime | None:
    """The pause that the page showed to whoever resumes, by its time; None when the form tells none. A pause made
    since, as after a restored database, is no business of that click."""
    return posted_time(request, "paused_at")


def posted_time(request: HttpRequest, name: str) -> datetime | None:
    """A time that a form bears (ISO 8601, with its zone); None when it bears none."""
    try:
        at = datetime.fromisoformat(request.POST.get(name, ""))
    except ValueError:
        return None
    return at if at.tzinfo else None


def back_to(request: HttpRequest, otherwise: str) -> str:
    """Where a form asked to return to, when that is a page of ours."""
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # A path only: redirect() takes any other word for the name of a view, and raises when there is none.
    return target if safe and target.startswith("/") else otherwise
