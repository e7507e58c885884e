"""The transports of accounts: one for IMAP, one for SMTP, each a server with credentials and failures."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox import credentials
from mailbox.endpoints import Endpoint, host_problem
from mailbox.models.oauth import OAuthGrant


class Transport(models.Model):
    """The IMAP or SMTP server of one account: host, credentials and the state of its failures.

    Secrets are set by the properties `password` and `oauth_token`, which encrypt them; an absent one is NULL.
    """

    class Kind(models.TextChoices):
        IMAP = "imap", "IMAP"
        SMTP = "smtp", "SMTP"

    class Security(models.TextChoices):
        TLS = "tls", _("TLS from the first byte")
        STARTTLS = "starttls", "STARTTLS"

    kind = models.CharField(max_length=4, choices=Kind, editable=False)
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(65535)])
    security = models.CharField(max_length=8, choices=Security, default=Security.TLS)
    user = models.CharField(max_length=320)
    # Whether the host may have a private address: allowed by an administrator of all accounts or on the command line.
    private_host_allowed = models.BooleanField(default=True, db_default=True, editable=False)
    encrypted_password = models.TextField(null=True, editable=False)
    encrypted_oauth_token = models.TextField(null=True, editable=False)
    oauth_expires_at = models.DateTimeField(null=True, editable=False)  # of that token, if it was stated
    # In place of a token: the account's OAuth grant, whose access token is refreshed before it expires.
    grant = models.ForeignKey(OAuthGrant, models.PROTECT, null=True, related_name="transports", editable=False)

    # Since when the server has refused these credentials; cleared when they change or a sign-in succeeds.
    needs_sign_in_since = models.DateTimeField(null=True, editable=False)
    # The server's reply at the last failure; next_allowed_at: when it may be tried again (throttled, unavailable).
    last_reply = models.TextField(blank=True, editable=False)
    # The server's newest [ALERT] (RFC 3501, 7.1).
    alert = models.TextField(blank=True, default="", db_default="", editable=False)
    alerted_at = models.DateTimeField(null=True, editable=False)
    failure_count = models.PositiveIntegerField(default=0, editable=False)
    next_allowed_at = models.DateTimeField(null=True, editable=False)
    # Time of the first failure since the server last worked: took a mail (SMTP), let us sign in (IMAP).
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "transports"
        constraints = [
            models.CheckConstraint(
                name="transport_exactly_one_secret",
                condition=Q(encrypted_password__isnull=False, encrypted_oauth_token__isnull=True, grant__isnull=True)
                | Q(encrypted_password__isnull=True, encrypted_oauth_token__isnull=False, grant__isnull=True)
                | Q(encrypted_password__isnull=True, encrypted_oauth_token__isnull=True, grant__isnull=False),
                violation_error_message=_("Give exactly one of password and OAuth token."),
            ),
            models.CheckConstraint(
                name="transport_secret_not_empty",
                condition=(Q(encrypted_password__isnull=True) | ~Q(encrypted_password=""))
                & (Q(encrypted_oauth_token__isnull=True) | ~Q(encrypted_oauth_token="")),
                violation_error_message=_("A secret must not be empty."),
            ),
            models.CheckConstraint(
                name="transport_host_not_empty",
                condition=~Q(host=""),
                violation_error_message=_("Give the server's host name."),
            ),
            models.CheckConstraint(
                name="transport_user_not_empty",
                condition=~Q(user=""),
                violation_error_message=_("Give the user name."),
            ),
            models.CheckConstraint(
                name="transport_port_range",
                condition=Q(port__gte=1, port__lte=65535),
                violation_error_message=_("A port is a number from 1 to 65535."),
            ),
            models.CheckConstraint(
                name="transport_security",
                condition=Q(kind="imap", security="tls") | Q(kind="smtp", security__in=["tls", "starttls"]),
                violation_error_message=_("IMAP is TLS from the first byte; SMTP is tls or starttls."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.host}:{self.port}"

    def when_key_is_lost(self) -> str:
        account = getattr(self, "account_by_imap", None) or getattr(self, "account_by_smtp", None)
        return f"{account or 'no account'} ({self}): sign in again, with the password or token"

    @property
    def password(self) -> str | None:
        """The password in plain text. Raises credentials.DecryptionFailed when no key decrypts it."""
        return credentials.decrypt(self.encrypted_password)

    @password.setter
    def password(self, value: str | None) -> None:
        self.encrypted_password = credentials.encrypt(value)

    @property
    def oauth_token(self) -> str | None:
        """The OAuth access token in plain text, its own or its grant's. Raises credentials.DecryptionFailed."""
        return self.grant.access_token if self.grant else credentials.decrypt(self.encrypted_oauth_token)

    @oauth_token.setter
    def oauth_token(self, value: str | None) -> None:
        self.encrypted_oauth_token, self.oauth_expires_at = credentials.encrypt(value), None

    @property
    def auth_method(self) -> str:
        """ "oauth" (a token or a grant) or "password", without decrypting anything."""
        return "password" if self.encrypted_password is not None else "oauth"

    def clean(self) -> None:
        if problem := host_problem(self.host):
            raise ValidationError({"host": problem})
        if any(ord(character) < 32 for character in self.user):
            raise ValidationError({"user": gettext("A user name has no line breaks or control characters.")})

    @property
    def public_only(self) -> bool:
        """Whether the host must have a public address."""
        return not (self.private_host_allowed or settings.ACCOUNT_ALLOW_PRIVATE)

    def endpoint(self, ca_certificate: str = "") -> Endpoint:
        """Host and plain secrets for a client: never log, store or queue it. Raises credentials.DecryptionFailed."""
        return Endpoint(
            host=self.host,
            port=self.port,
            security=self.security,
            user=self.user,
            password=self.password,
            oauth_token=self.oauth_token,
            ca_certificate=ca_certificate,
            public_only=self.public_only,
        )

    def mark_needs_sign_in(self, reply: str, now: datetime) -> None:
        """Record that the server refused these credentials, if they have not been changed in the meantime.

        The access token of a grant may have been revoked early, so it is refreshed once before a person must sign in.
        """
        if self.grant is not None and self.grant.takes_refusal():
            return
        self._same_credentials().filter(needs_sign_in_since=None).update(needs_sign_in_since=now)
        self._same_credentials().update(last_reply=reply, failure_count=models.F("failure_count") + 1)

    def mark_unavailable(self, reply: str, until: datetime, now: datetime | None = None) -> None:
        """Record that the server could not be reached or asked to wait, and let nobody try it before `until`.

        The reply of a refused sign-in is kept, as it tells what a person has to do. now: default is the present time.
        """
        refused = models.When(needs_sign_in_since__isnull=False, then=models.F("last_reply"))
        Transport.objects.filter(pk=self.pk).update(
            last_reply=models.Case(refused, default=models.Value(reply), output_field=models.TextField()),
            next_allowed_at=until,
            failure_count=models.F("failure_count") + 1,
            failing_since=Coalesce(models.F("failing_since"), models.Value(now or timezone.now())),
        )

    def mark_working(self) -> None:
        """Record that an SMTP server accepted a mail, which ends `failing_since`. A sign-in alone does not."""
        Transport.objects.filter(pk=self.pk, failing_since__isnull=False).update(failing_since=None, failure_count=0)

    def note_alert(self, words: str, now: datetime) -> None:
        """Save the newest text that the server marked as [ALERT], to be shown to the user (RFC 3501, 7.1)."""
        Transport.objects.filter(pk=self.pk).exclude(alert=words).update(alert=words, alerted_at=now)

    @property
    def is_in_order(self) -> bool:
        """Whether it has neither a failure nor a wait, so that mark_signed_in() would change nothing."""
        failing = self.needs_sign_in_since or self.failing_since or self.failure_count or self.last_reply
        return not (failing or self.next_allowed_at)

    def mark_signed_in(self) -> None:
        """Record a successful sign-in with these credentials. For IMAP this ends `failing_since`, too.

        An SMTP server may fail behind each sign-in: its failures are counted on until it accepts a mail, or the wait
        between two of them would never grow.
        """
        well = {"needs_sign_in_since": None, "last_reply": "", "next_allowed_at": None}
        if self.kind == self.Kind.IMAP:
            self._same_credentials().update(**well, failing_since=None, failure_count=0)
            return
        works, kept = models.When(failing_since=None, then=0), models.F("failure_count")
        counted = models.Case(works, default=kept, output_field=models.IntegerField())
        self._same_credentials().update(**well, failure_count=counted)

    def _same_credentials(self) -> models.QuerySet[Transport]:
        return Transport.objects.filter(
            pk=self.pk,
            encrypted_password=self.encrypted_password,
            encrypted_oauth_token=self.encrypted_oauth_token,
            grant=self.grant_id,
        )
