"""Tokens of programs. Only the digest of a token is stored; the token itself is shown once, when it is made."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account


class Scope(models.TextChoices):
    """What a token permits. Each also needs its user's role for the account: see api.tokens.ROLE_OF."""

    READ = "read", _("read mail")
    SEND = "send", _("send")
    OPERATE = "operate", _("operate: retry, cancel, sync, pause")
    ADMINISTER = "administer", _("administer accounts")
    PEOPLE = "people", _("people: invite, give roles, end tokens")


class Token(models.Model):
    """A token by which a program acts for a user. The row is deleted when the token is ended, or with its user."""

    user = models.ForeignKey("auth.User", models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)  # SHA-256 in hex: 256 random bits need no salt
    scopes = models.JSONField(default=list)  # of Scope
    # A column of its own: a token for two accounts must not become one for all accounts when both are deleted.
    all_accounts = models.BooleanField(default=False)
    accounts = models.ManyToManyField(Account, related_name="+", db_table="api_token_accounts")
    networks = models.JSONField(default=list)  # CIDR texts; empty: usable from everywhere
    per_minute = models.PositiveIntegerField(default=600)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    last_address = models.CharField(max_length=45, blank=True)
    # The last minute with requests (Unix seconds // 60), and its number of requests: see api.rates.
    minute = models.BigIntegerField(default=0)
    in_minute = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "api_tokens"

    def __str__(self) -> str:
        return f"token {self.pk}"


class KeptAnswer(models.Model):
    """The response to a request with an Idempotency-Key. `fingerprint` detects a different request with that key.

    The row is deleted after seven days, or with its token.
    """

    token = models.ForeignKey(Token, models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=190)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "api_kept_answers"
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="api_kept_answer_once")]

    def __str__(self) -> str:
        return f"answer {self.pk}"


class RequestCount(models.Model):
    """The number of requests since the installation began, by route, method, class of status and bucket of duration.

    `seconds` is the total duration of these requests.
    """

    route = models.CharField(max_length=120)
    method = models.CharField(max_length=10)
    status = models.CharField(max_length=3)  # "2xx"
    le = models.CharField(max_length=6)  # the bucket's upper bound in seconds, or "+Inf"
    number = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0)

    class Meta:
        db_table = "api_requests"
        constraints = [models.UniqueConstraint(fields=["route", "method", "status", "le"], name="api_requests_unique")]

    def __str__(self) -> str:
        return f"{self.method} {self.route} {self.status}"
