"""Finds the user for a first sign-in at the provider by a verified e-mail address, or creates one."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from people.sign_in.refusals import REASONS

LONGEST = 140  # characters; auth.User.username allows 150, and a number may be added


class SignOnRefused(Exception):
    """The person may not sign in. `reason`: a key of people.sign_in.refusals.REASONS; `user`: the user, if known."""

    def __init__(self, reason: str, user: User | None = None) -> None:
        assert reason in REASONS
        super().__init__(reason)
        self.reason, self.user = reason, user


def found_or_made(claims: dict[str, Any]) -> User:
    """The user with the person's address, or a new user when nobody has it. Raises SignOnRefused when several users
    have it, when the provider does not state that it is verified, or when the user is a superuser or the break-glass
    administrator.

    A new user gets the address only when it is verified, as password links are sent to it.
    """
    email, is_verified = _text(claims, "email"), claims.get("email_verified") is True
    same = list(User.objects.filter(email__iexact=email)[:2]) if email else []
    if not same:
        return _made(claims, email if is_verified else "")
    if len(same) > 1:
        raise SignOnRefused("ambiguous")
    [user] = same
    if not is_verified:
        raise SignOnRefused("unverified", user)
    if user.is_superuser or user.get_username() == settings.BREAK_GLASS_USER:
        raise SignOnRefused("superuser", user)
    return user


def _made(claims: dict[str, Any], email: str) -> User:
    user = User(username=_free_name(claims), email=email)
    user.first_name = _text(claims, "given_name")[:150]
    user.last_name = _text(claims, "family_name")[:150]
    user.set_unusable_password()
    user.save()
    return user


def _free_name(claims: dict[str, Any]) -> str:
    """A free user name made of the person's names: characters that a user name may not contain are removed, and a
    number is added where the name is taken."""
    wanted = (_text(claims, "preferred_username"), _text(claims, "email"), _text(claims, "name"), "person")
    stem = next(name for each in wanted if (name := re.sub(r"[^\w.@+-]", "", each)[:LONGEST]))
    taken = {
        name.casefold() for name in User.objects.filter(username__istartswith=stem).values_list("username", flat=True)
    }
    taken.add(settings.BREAK_GLASS_USER.casefold())
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}").casefold() in taken:
        number += 1
    return name


def _text(claims: dict[str, Any], name: str) -> str:
    found = claims.get(name)
    return found.replace("\x00", "").strip()[:254] if isinstance(found, str) else ""
