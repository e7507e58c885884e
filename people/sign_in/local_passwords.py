"""Passwords of this site: all people's, or one person's alone."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest


def may_use_password(username: str) -> bool:
    """Whether a password of this site opens anything for this name."""
    return bool(settings.LOCAL_PASSWORDS or (username and username == settings.BREAK_GLASS_USER))


class LocalPasswords(ModelBackend):
    """Django's own check of a password. Whom it is switched off for, the answer is that of a wrong password."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if not may_use_password(username or kwargs.get(User.USERNAME_FIELD) or ""):
            User().set_password(password)  # as long as for anybody else: see ModelBackend
            return None
        found = super().authenticate(request, username, password, **kwargs)
        return found if isinstance(found, User) else None
