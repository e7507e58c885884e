"""Sessions, the rules of signing in, used codes, and requests for links in mail."""

from __future__ import annotations

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils.module_loading import import_string


class Session(AbstractBaseSession):
    """The session of one browser; `user` is NULL until sign-in is complete. `began_at`, `seen_at`: Unix seconds, copied
    from the session's data."""

    user = models.ForeignKey("auth.User", models.CASCADE, null=True, related_name="sessions")
    address = models.CharField(max_length=45, blank=True)
    agent = models.CharField(max_length=200, blank=True)
    began_at = models.BigIntegerField(null=True)
    seen_at = models.BigIntegerField(null=True)

    class Meta(AbstractBaseSession.Meta):
        db_table = "sessions"

    @classmethod
    def get_session_store_class(cls) -> type:
        store: type = import_string("people.sessions.store.SessionStore")  # by name, as that module imports this one
        return store


class SignInRules(models.Model):
    """The rules of signing in: one row with pk 1; without it no second factor is required.

    `second_factor_role`: the lowest role, for all accounts or for single ones, that requires a second factor.
    """

    second_factor_role = models.CharField(max_length=13, blank=True)

    class Meta:
        db_table = "sign_in_rules"
        verbose_name = verbose_name_plural = "sign-in rules"

    def __str__(self) -> str:
        return "rules of signing in"


class LastCode(models.Model):
    """The time step of the last authenticator app code that a user has used (RFC 6238, 5.2).

    `period`: the number of 30 s steps since 1970. A code can be used once, in whichever web process; codes of earlier
    time steps can no longer be used then.
    """

    user = models.OneToOneField("auth.User", models.CASCADE, primary_key=True, related_name="+")
    period = models.BigIntegerField(default=-1)

    class Meta:
        db_table = "last_codes"

    def __str__(self) -> str:
        return f"last code of user {self.user_id}"


class PasswordRequest(models.Model):
    """A request for a link to choose a new password, for an address that no user may have. Kept for a day.

    `client`: the key by which requests are counted (sign_in.client_address.counted_address); `address`: the client's
    address.
    """

    email = models.EmailField(max_length=254)
    client = models.CharField(max_length=45)
    address = models.CharField(max_length=45, blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)
    answered_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "password_requests"
        indexes = [
            models.Index(fields=["client", "asked_at"], name="password_request_client"),
            models.Index(fields=["email", "asked_at"], name="password_request_email"),
        ]

    def __str__(self) -> str:
        return f"password request {self.pk}"


class EmailChange(models.Model):
    """The new e-mail address that a user has asked for, until it is confirmed."""

    user = models.OneToOneField("auth.User", models.CASCADE, primary_key=True, related_name="+")
    email = models.EmailField(max_length=254)
    asked_at = models.DateTimeField()

    class Meta:
        db_table = "email_changes"

    def __str__(self) -> str:
        return f"e-mail change of user {self.user_id}"
