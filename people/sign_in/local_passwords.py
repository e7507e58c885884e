"""The check of local passwords, which may be switched off for all users but the break-glass administrator."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest


def may_use_password(username: str) -> bool:
    """Whether the user with this name may sign in by a local password."""
    return bool(settings.LOCAL_PASSWORDS or (username and username == settings.BREAK_GLASS_USER))


class LocalPasswords(ModelBackend):
    """Django's own check of a password. A user who may not use one gets the same answer as for a wrong password."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """The user; None for a wrong password, an inactive user, and for one who may not use a password."""
        if not may_use_password(username or kwargs.get(User.USERNAME_FIELD) or ""):
            User().set_password(password)  # takes as long as a real check, against timing attacks: see ModelBackend
            return None
        found = super().authenticate(request, username, password, **kwargs)
        return found if isinstance(found, User) else None
