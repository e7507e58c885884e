"""Sessions with their users, and the rules of signing in."""

from __future__ import annotations

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils.module_loading import import_string


class Session(AbstractBaseSession):
    """One browser that is signed in, or on its way there (user NULL). Times are Unix seconds, as in the data."""

    user = models.ForeignKey("auth.User", models.CASCADE, null=True, related_name="sessions")
    address = models.CharField(max_length=45, blank=True)
    agent = models.CharField(max_length=200, blank=True)
    began_at = models.BigIntegerField(null=True)
    seen_at = models.BigIntegerField(null=True)

    class Meta(AbstractBaseSession.Meta):
        db_table = "sessions"

    @classmethod
    def get_session_store_class(cls) -> type:
        store: type = import_string("people.sessions.store.SessionStore")  # it needs this class
        return store


class SignInRules(models.Model):
    """One row, key 1; while there is none, nothing is demanded.

    `second_factor_role` is the lowest role of AccountGrant, for all accounts or for some, that needs a second factor.
    """

    second_factor_role = models.CharField(max_length=13, blank=True)

    class Meta:
        db_table = "sign_in_rules"
        verbose_name = verbose_name_plural = "sign-in rules"

    def __str__(self) -> str:
        return "rules of signing in"


class LastCode(models.Model):
    """The period, of 30 s since 1970, of the last code of an authenticator app that a person used (RFC 6238, 5.2).

    A code is good once for all web processes; those of earlier periods end with it.
    """

    user = models.OneToOneField("auth.User", models.CASCADE, primary_key=True, related_name="+")
    period = models.BigIntegerField(default=-1)

    class Meta:
        db_table = "last_codes"

    def __str__(self) -> str:
        return f"last code of user {self.user_id}"


class PasswordRequest(models.Model):
    """Somebody forgot a password and gave this address, which may be nobody's. Kept for a day.

    `client` is what requests are counted by (sign_in.client_address.counted_address), `address` where it came from.
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
    """The address that a person wants, until it is confirmed. The key is the user's."""

    user = models.OneToOneField("auth.User", models.CASCADE, primary_key=True, related_name="+")
    email = models.EmailField(max_length=254)
    asked_at = models.DateTimeField()

    class Meta:
        db_table = "email_changes"

    def __str__(self) -> str:
        return f"e-mail change of user {self.user_id}"
