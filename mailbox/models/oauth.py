"""OAuth 2.0: the site's registrations at providers, the grants by which accounts sign in, and pending sign-ins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox import credentials


class AppQuerySet(models.QuerySet["OAuthApp"]):
    """Queries by state."""

    def refused(self) -> AppQuerySet:
        """Registrations that their provider refuses."""
        return self.filter(grants__failure=OAuthGrant.Failure.APP).distinct()


class OAuthApp(models.Model):
    """The site's registration at one provider. Secrets are set by properties, which encrypt them.

    A known provider has at most one row. Values in the environment (settings.OAUTH_CLIENTS) precede the stored ones.
    """

    class Kind(models.TextChoices):
        GOOGLE = "google", "Google"
        MICROSOFT = "microsoft", "Microsoft"
        YAHOO = "yahoo", "Yahoo"
        DISCOVERY = "discovery", _("Another provider")

    kind = models.CharField(max_length=10, choices=Kind, editable=False)
    name = models.CharField(_("name"), max_length=60)
    client_id = models.CharField(max_length=400, blank=True)
    encrypted_client_secret = models.TextField(null=True, editable=False)
    # The whole key file (JSON) of a Google service account.
    encrypted_service_key = models.TextField(null=True, editable=False)
    secret_ends_on = models.DateField(null=True, blank=True)
    tenant = models.CharField(max_length=100, blank=True)
    # For another provider: its discovery document's URL and content, its scopes, and the domains and servers of its
    # mail.
    discovery_url = models.CharField(max_length=500, blank=True)
    document = models.JSONField(default=dict, blank=True)
    discovery_error = models.CharField(max_length=500, blank=True)
    scopes = models.CharField(max_length=1000, blank=True)
    application_scopes = models.CharField(max_length=1000, blank=True)
    domains = models.CharField(max_length=1000, blank=True)  # "example.com example.org"
    servers = models.JSONField(default=dict, blank=True)  # imap_host, imap_port, smtp_host, smtp_port, smtp_security
    ca_certificate = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AppQuerySet.as_manager()

    class Meta:
        db_table = "oauth_apps"
        verbose_name = "OAuth app"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["kind"], condition=~Q(kind="discovery"), name="oauth_app_one_a_provider")
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The URL of the provider's page."""
        if self.kind == self.Kind.DISCOVERY:
            return reverse("mailbox:provider", args=[self.pk])
        return reverse("mailbox:provider_known", args=[self.kind])

    def when_key_is_lost(self) -> str:
        """For `StoredSecret.needs`: what an administrator has to enter again."""
        return f"sign-in provider {self}: enter its client secret or service key again"

    @property
    def client_secret(self) -> str | None:
        """The secret in plain text. Raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_client_secret)

    @client_secret.setter
    def client_secret(self, value: str | None) -> None:
        self.encrypted_client_secret = credentials.encrypt(value)

    @property
    def service_key(self) -> str | None:
        """The key file in plain text. Raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_service_key)

    @service_key.setter
    def service_key(self, value: str | None) -> None:
        self.encrypted_service_key = credentials.encrypt(value)

    @property
    def from_environment(self) -> tuple[str, str] | None:
        """(client id, client secret) from the environment, or None."""
        found: tuple[str, str] | None = settings.OAUTH_CLIENTS.get(self.kind)
        return found

    @property
    def is_configured(self) -> bool:
        """Whether people can sign in by it."""
        has_client = bool(self.from_environment or self.client_id)
        return has_client and (self.kind != self.Kind.DISCOVERY or bool(self.document))


class GrantQuerySet(models.QuerySet["OAuthGrant"]):
    """Queries by state."""

    def not_ended(self) -> GrantQuerySet:
        """Grants that the provider may still renew."""
        return self.exclude(failure=OAuthGrant.Failure.ENDED)


class OAuthGrant(models.Model):
    """A provider's grant for one account: access token and refresh token, by which both transports sign in.

    generation: increases with each new set of tokens. Tokens are stored on condition that it has not changed.
    """

    class Flow(models.TextChoices):
        PERSON = "person", _("a person's sign-in")
        APPLICATION = "application", _("client credentials")
        SERVICE_ACCOUNT = "service_account", _("a service account")
        EXTERNAL = "external", _("a refresh provider of one's own")

    class Failure(models.TextChoices):
        """ENDED needs a person to consent again. The others are faults of the site's settings and are retried."""

        ENDED = "ended", _("the provider ended the grant")
        APP = "app", _("the provider refuses the site's own id or secret")
        KEY = "key", _("the key to the stored secret is missing")

    app = models.ForeignKey(OAuthApp, models.PROTECT, null=True, related_name="grants")
    flow = models.CharField(max_length=16, choices=Flow)
    identity = models.CharField(max_length=320, blank=True)  # the person who signed in; for a shared mailbox, another
    encrypted_access_token = models.TextField(editable=False)
    encrypted_refresh_token = models.TextField(null=True, editable=False)
    scope = models.CharField(max_length=2000, blank=True)
    generation = models.PositiveIntegerField(default=1, editable=False)
    granted_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)  # of the access token
    refresh_expires_at = models.DateTimeField(null=True)  # when the refresh token expires unless it is used before
    use_refresh_by = models.DateTimeField(null=True, db_index=True)  # when to use it, to be in time

    # must_refresh: a server refused this access token, so one refresh is due. is_after_refusal: that refresh was made.
    must_refresh = models.BooleanField(default=False, editable=False)
    is_after_refusal = models.BooleanField(default=False, editable=False)
    # When the provider was asked with the present refresh token, while no answer is stored.
    asked_at = models.DateTimeField(null=True, editable=False)
    # When it was asked without an answer ever being stored: the provider may regard the refresh token as used.
    answer_lost_at = models.DateTimeField(null=True, editable=False)
    lease_token = models.CharField(max_length=32, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, editable=False)

    failure = models.CharField(max_length=8, blank=True, choices=Failure)  # "": none
    last_reply = models.TextField(blank=True, editable=False)
    failure_count = models.PositiveIntegerField(default=0, editable=False)
    next_allowed_at = models.DateTimeField(null=True, editable=False)

    objects = GrantQuerySet.as_manager()

    class Meta:
        db_table = "oauth_grants"
        verbose_name = "OAuth grant"
        constraints = [
            models.CheckConstraint(
                name="oauth_grant_token_not_empty",
                condition=~Q(encrypted_access_token="")
                & (Q(encrypted_refresh_token__isnull=True) | ~Q(encrypted_refresh_token="")),
            )
        ]

    def __str__(self) -> str:
        return f"grant {self.pk} of {self.identity or self.get_flow_display()}"

    def when_key_is_lost(self) -> str:
        """For `StoredSecret.needs`: whose sign-in has to be done again."""
        transports = self._meta.apps.get_model("mailbox", "Transport").objects.filter(grant=self.pk)
        users = sorted(set(transports.values_list("user", flat=True)))
        return f"{', '.join(users) or 'no account'} ({self}): sign in again at {self.app}"

    @property
    def access_token(self) -> str | None:
        """The token in plain text. Raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_access_token)

    @access_token.setter
    def access_token(self, value: str) -> None:
        self.encrypted_access_token = credentials.encrypt(value) or ""

    @property
    def refresh_token(self) -> str | None:
        """The token in plain text. Raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_refresh_token)

    @refresh_token.setter
    def refresh_token(self, value: str | None) -> None:
        self.encrypted_refresh_token = credentials.encrypt(value)

    @property
    def can_refresh(self) -> bool:
        """Whether a new access token can be had without a person."""
        return self.flow != self.Flow.PERSON or self.encrypted_refresh_token is not None

    def takes_refusal(self) -> bool:
        """Record that a server refused this object's access token.

        Returns True if no person is needed yet: there is a newer token already, or one refresh is now due. Returns
        False if the token was already refreshed after a refusal, or cannot be refreshed.
        """
        if not self.can_refresh or self.failure in (self.Failure.ENDED, self.Failure.KEY):
            return False
        rows = OAuthGrant.objects.not_ended().filter(pk=self.pk)
        if rows.filter(generation=self.generation, is_after_refusal=False).update(must_refresh=True):
            return True
        return rows.exclude(generation=self.generation).exists()


class OAuthSignIn(models.Model):
    """A user's pending sign-in at a provider. Valid once, for this user and session only; removed after a day.

    The callback view only saves the provider's answer; a worker then asks the provider for tokens.
    """

    class Status(models.TextChoices):
        AWAY = "away", _("at the provider")
        RETURNED = "returned", _("waits for a worker")
        ASKING = "asking", _("a worker asks the provider")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    app = models.ForeignKey(OAuthApp, models.CASCADE, related_name="+")
    asked_by = models.ForeignKey("auth.User", models.CASCADE, related_name="+")
    account = models.ForeignKey("mailbox.Account", models.CASCADE, null=True, related_name="+")  # None: a new account
    email = models.EmailField(max_length=254)
    state_digest = models.CharField(max_length=64, unique=True)
    session_digest = models.CharField(max_length=64)
    encrypted_verifier = models.TextField()  # PKCE (RFC 7636)
    nonce = models.CharField(max_length=64)
    callback = models.CharField(max_length=500)
    # For a new account: TransportFields and switches, without secrets.
    settings = models.JSONField(default=dict)
    status = models.CharField(max_length=8, choices=Status, default=Status.AWAY)
    encrypted_code = models.TextField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    moved_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=1000, blank=True)

    class Meta:
        db_table = "oauth_sign_ins"
        verbose_name = "OAuth sign-in"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"sign-in {self.pk} of {self.email} by {self.app_id}"

    @property
    def adds_account(self) -> bool:
        """Whether it adds, or has added, an account: only then `settings` contains servers."""
        return "imap_host" in self.settings

    def when_key_is_lost(self) -> str:
        """For `StoredSecret.needs`: whose sign-in has to begin again."""
        return f"{self.email}: its sign-in at the provider was under way; begin it again"

    def move(self, before: str, after: str, now: datetime, **fields: Any) -> bool:
        """Change the status from `before` to `after`. Returns False if the status was another."""
        rows = OAuthSignIn.objects.filter(pk=self.pk, status=before)
        return rows.update(status=after, moved_at=now, **fields) == 1


class SeenCertificate(models.Model):
    """The expiry of the certificate that a server presented at its last TLS handshake."""

    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField()
    ends_at = models.DateTimeField()
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "seen_certificates"
        constraints = [models.UniqueConstraint(fields=["host", "port"], name="seen_certificate_unique")]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
