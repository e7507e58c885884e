"""OAuth 2.0: what the site is at each provider, the grants that accounts sign in by, and sign-ins on their way."""

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
    """Named states."""

    def refused(self) -> AppQuerySet:
        """Registrations that the provider refuses."""
        return self.filter(grants__failure=OAuthGrant.Failure.APP).distinct()


class OAuthApp(models.Model):
    """The site's registration at one provider. Secrets are set through properties, which encrypt.

    Of the known providers there is one row each; the environment goes before what is stored (settings.OAUTH_CLIENTS).
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
    # A Google service account's key file (JSON), whole.
    encrypted_service_key = models.TextField(null=True, editable=False)
    secret_ends_on = models.DateField(null=True, blank=True)
    tenant = models.CharField(max_length=100, blank=True)
    # Of another provider: its discovery document and what is kept of it, its scopes, and whose mail it opens where.
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
        """Its page."""
        if self.kind == self.Kind.DISCOVERY:
            return reverse("mailbox:provider", args=[self.pk])
        return reverse("mailbox:provider_known", args=[self.kind])

    def when_key_is_lost(self) -> str:
        return f"sign-in provider {self}: enter its client secret or service key again"

    @property
    def client_secret(self) -> str | None:
        """In clear; raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_client_secret)

    @client_secret.setter
    def client_secret(self, value: str | None) -> None:
        self.encrypted_client_secret = credentials.encrypt(value)

    @property
    def service_key(self) -> str | None:
        """In clear; raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_service_key)

    @service_key.setter
    def service_key(self, value: str | None) -> None:
        self.encrypted_service_key = credentials.encrypt(value)

    @property
    def from_environment(self) -> tuple[str, str] | None:
        """(client id, client secret) where the environment says them."""
        found: tuple[str, str] | None = settings.OAUTH_CLIENTS.get(self.kind)
        return found

    @property
    def is_configured(self) -> bool:
        """Whether persons can sign in by it."""
        has_client = bool(self.from_environment or self.client_id)
        return has_client and (self.kind != self.Kind.DISCOVERY or bool(self.document))


class GrantQuerySet(models.QuerySet["OAuthGrant"]):
    """Named states."""

    def not_ended(self) -> GrantQuerySet:
        """Those that the provider may still renew."""
        return self.exclude(failure=OAuthGrant.Failure.ENDED)


class OAuthGrant(models.Model):
    """What a provider granted for one account; both of its transports sign in by it.

    `generation` moves with each set of tokens: whoever stores tokens does so on condition that it did not move.
    """

    class Flow(models.TextChoices):
        PERSON = "person", _("a person's sign-in")
        APPLICATION = "application", _("client credentials")
        SERVICE_ACCOUNT = "service_account", _("a service account")
        EXTERNAL = "external", _("a refresh provider of one's own")

    class Failure(models.TextChoices):
        """ENDED needs a person, who consents again. The others are the site's own: it asks again by itself."""

        ENDED = "ended", _("the provider ended the grant")
        APP = "app", _("the provider refuses the site's own id or secret")
        KEY = "key", _("the key to the stored secret is missing")

    app = models.ForeignKey(OAuthApp, models.PROTECT, null=True, related_name="grants")
    flow = models.CharField(max_length=16, choices=Flow)
    identity = models.CharField(max_length=320, blank=True)  # who signed in; may differ from a shared mailbox
    encrypted_access_token = models.TextField(editable=False)
    encrypted_refresh_token = models.TextField(null=True, editable=False)
    scope = models.CharField(max_length=2000, blank=True)
    generation = models.PositiveIntegerField(default=1, editable=False)
    granted_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)  # of the access token
    refresh_expires_at = models.DateTimeField(null=True)  # of the refresh token, when it is not used before
    use_refresh_by = models.DateTimeField(null=True, db_index=True)  # when it is used in time

    # A server refused this very access token: one refresh is due, and `is_after_refusal` says that it has been.
    must_refresh = models.BooleanField(default=False, editable=False)
    is_after_refusal = models.BooleanField(default=False, editable=False)
    # The provider was asked with the present refresh token, and no answer is stored yet.
    asked_at = models.DateTimeField(null=True, editable=False)
    # That happened, and the answer never came or its worker died: the provider may hold the refresh token for used.
    answer_lost_at = models.DateTimeField(null=True, editable=False)
    lease_token = models.CharField(max_length=32, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, editable=False)

    failure = models.CharField(max_length=8, blank=True, choices=Failure)  # empty: in order
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
        transports = self._meta.apps.get_model("mailbox", "Transport").objects.filter(grant=self.pk)
        users = sorted(set(transports.values_list("user", flat=True)))
        return f"{', '.join(users) or 'no account'} ({self}): sign in again at {self.app}"

    @property
    def access_token(self) -> str | None:
        """In clear; raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_access_token)

    @access_token.setter
    def access_token(self, value: str) -> None:
        self.encrypted_access_token = credentials.encrypt(value) or ""

    @property
    def refresh_token(self) -> str | None:
        """In clear; raises credentials.DecryptionFailed."""
        return credentials.decrypt(self.encrypted_refresh_token)

    @refresh_token.setter
    def refresh_token(self, value: str | None) -> None:
        self.encrypted_refresh_token = credentials.encrypt(value)

    @property
    def can_refresh(self) -> bool:
        return self.flow != self.Flow.PERSON or self.encrypted_refresh_token is not None

    def takes_refusal(self) -> bool:
        """A server refused the access token of this object. True when that says nothing yet: another token is there
        already, or the one refresh that a refusal deserves is still to come."""
        if not self.can_refresh or self.failure in (self.Failure.ENDED, self.Failure.KEY):
            return False
        rows = OAuthGrant.objects.not_ended().filter(pk=self.pk)
        if rows.filter(generation=self.generation, is_after_refusal=False).update(must_refresh=True):
            return True
        return rows.exclude(generation=self.generation).exists()


class OAuthSignIn(models.Model):
    """A person's sign-in on its way to a provider and back. Theirs and their session's alone, and good once.

    The callback only writes down what came back; a worker asks the provider. Forgotten after a day.
    """

    class Status(models.TextChoices):
        AWAY = "away", _("at the provider")
        RETURNED = "returned", _("waits for a worker")
        ASKING = "asking", _("a worker asks the provider")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    app = models.ForeignKey(OAuthApp, models.CASCADE, related_name="+")
    asked_by = models.ForeignKey("auth.User", models.CASCADE, related_name="+")
    account = models.ForeignKey("mailbox.Account", models.CASCADE, null=True, related_name="+")  # None: to be added
    email = models.EmailField(max_length=254)
    state_digest = models.CharField(max_length=64, unique=True)
    session_digest = models.CharField(max_length=64)
    encrypted_verifier = models.TextField()  # PKCE (RFC 7636)
    nonce = models.CharField(max_length=64)
    callback = models.CharField(max_length=500)
    # Of the account to be added: TransportFields and switches, without secrets.
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
        """Whether it adds one, or did: only then it knows the servers itself."""
        return "imap_host" in self.settings

    def when_key_is_lost(self) -> str:
        return f"{self.email}: its sign-in at the provider was under way; begin it again"

    def move(self, before: str, after: str, now: datetime, **fields: Any) -> bool:
        """Go on to another state, once; False when it was not in the state before."""
        rows = OAuthSignIn.objects.filter(pk=self.pk, status=before)
        return rows.update(status=after, moved_at=now, **fields) == 1


class SeenCertificate(models.Model):
    """When the certificate ends that a server showed at its last handshake."""

    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField()
    ends_at = models.DateTimeField()
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "seen_certificates"
        constraints = [models.UniqueConstraint(fields=["host", "port"], name="seen_certificate_unique")]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
