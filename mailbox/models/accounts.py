"""Accounts, and their transports (one for IMAP, one for SMTP)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Lower
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox import credentials
from mailbox.endpoints import Endpoint, host_problem
from mailbox.models.account_words import SITE_MAIL_IS_NOT_FETCHED, SentCopyChoice
from mailbox.models.oauth import OAuthGrant
from mailbox.presets import keeps_sent_copy
from mailbox.tls import pem_problem


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
        account = Account.objects.filter(models.Q(imap=self.pk) | models.Q(smtp=self.pk)).first()
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
        Transport.objects.filter(pk=self.pk, failing_since__isnull=False).update(failing_since=None)

    def note_alert(self, words: str, now: datetime) -> None:
        """Save the newest text that the server marked as [ALERT], to be shown to the user (RFC 3501, 7.1)."""
        Transport.objects.filter(pk=self.pk).exclude(alert=words).update(alert=words, alerted_at=now)

    def mark_signed_in(self) -> None:
        """Record a successful sign-in with these credentials. For IMAP this ends `failing_since`, too."""
        well = {"needs_sign_in_since": None, "last_reply": "", "failure_count": 0, "next_allowed_at": None}
        self._same_credentials().update(**well, **({"failing_since": None} if self.kind == self.Kind.IMAP else {}))

    def _same_credentials(self) -> models.QuerySet[Transport]:
        return Transport.objects.filter(
            pk=self.pk,
            encrypted_password=self.encrypted_password,
            encrypted_oauth_token=self.encrypted_oauth_token,
            grant=self.grant_id,
        )


class AccountQuerySet(models.QuerySet["Account"]):
    """States of accounts, as conditions of a query."""

    def with_transports(self) -> AccountQuerySet:
        """With both transports, their grants and the grants' apps, by one JOIN."""
        return self.select_related("imap__grant__app", "smtp__grant__app")

    def syncing(self) -> AccountQuerySet:
        """Accounts with fetching switched on."""
        return self.filter(sync_enabled=True)

    def sending(self) -> AccountQuerySet:
        """Accounts whose mail workers may send: switched on, not paused, and no refused SMTP sign-in."""
        return self.filter(send_enabled=True, sending_paused_at=None, smtp__needs_sign_in_since=None)


class Account(models.Model):
    """An e-mail account: an address, an IMAP and an SMTP transport, and switches."""

    email = models.EmailField(max_length=254)
    display_name = models.CharField(max_length=200, blank=True)
    signature = models.TextField(blank=True, default="", db_default="")  # for mail written in the browser
    imap = models.OneToOneField(Transport, models.PROTECT, related_name="account_by_imap", editable=False)
    smtp = models.OneToOneField(Transport, models.PROTECT, related_name="account_by_smtp", editable=False)
    ca_certificate = models.TextField(
        _("extra CA certificate (PEM)"),
        blank=True,
        help_text=_("Only for a private server or a bridge whose certificate no public authority signed."),
    )
    sent_copy = models.CharField(
        _("copy in Sent"),
        max_length=9,
        choices=SentCopyChoice,
        default=SentCopyChoice.AUTOMATIC,
        help_text=_("Automatic: unless the provider puts sent mail there itself, as Gmail and Outlook do."),
    )
    sync_enabled = models.BooleanField(_("fetch mail"), default=True)
    send_enabled = models.BooleanField(_("send mail"), default=True)
    # Keep a connection with IDLE to INBOX, if the server offers it. The account is polled in either case.
    push_enabled = models.BooleanField(_("push"), default=True)
    messages_per_minute = models.PositiveIntegerField(
        _("messages a minute, at most"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("For a provider that limits how fast one may send. Empty: no limit."),
    )
    # The account of invitations and links to set a password. Never fetched: users could read links in its mail.
    sends_site_mail = models.BooleanField(default=False, db_default=False, editable=False)
    sending_paused_at = models.DateTimeField(null=True, blank=True, editable=False)  # new mail is taken, not sent
    folders_listed_at = models.DateTimeField(null=True, editable=False)
    # When a sync or a listing was asked for that no worker has begun: a task that the broker lost is found by it.
    sync_asked_at = models.DateTimeField(null=True, editable=False)
    listing_asked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        db_table = "accounts"
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="account_email_unique",
                violation_error_message=_("An account with this address exists already."),
            ),
            models.CheckConstraint(
                name="account_email_not_empty",
                condition=~Q(email=""),
                violation_error_message=_("Give the e-mail address."),
            ),
            models.UniqueConstraint(
                fields=["sends_site_mail"], name="account_one_sends_site_mail", condition=Q(sends_site_mail=True)
            ),
            models.CheckConstraint(
                name="account_site_mail_not_fetched",
                condition=Q(sends_site_mail=False) | Q(sync_enabled=False),
                violation_error_message=_(SITE_MAIL_IS_NOT_FETCHED),
            ),
        ]
        permissions = [
            ("operate_account", "Can send, retry and sync"),
            ("administer_account", "Can add and edit accounts and the policy"),
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        if self.ca_certificate and (problem := pem_problem(self.ca_certificate)):
            raise ValidationError({"ca_certificate": problem})
        if any(ord(character) < 32 for character in self.display_name):
            raise ValidationError({"display_name": gettext("A display name has no line breaks or control characters.")})

    def imap_endpoint(self) -> Endpoint:
        """The IMAP server, as Transport.endpoint returns it; likewise `smtp_endpoint`."""
        return self.imap.endpoint(self.ca_certificate)

    def wants_sent_copy(self) -> bool:
        """Whether to store a copy in Sent. Not where the provider does so itself, as the mail would be there twice."""
        if self.sent_copy == SentCopyChoice.AUTOMATIC:
            return not keeps_sent_copy(self.smtp.host)
        return self.sent_copy == SentCopyChoice.ALWAYS

    def smtp_endpoint(self) -> Endpoint:
        return self.smtp.endpoint(self.ca_certificate)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the account with all dependent rows, its transports and their OAuth grants."""
        with transaction.atomic():
            imap, smtp = self.imap, self.smtp
            deleted = super().delete(*args, **kwargs)
            imap.delete()
            smtp.delete()
            OAuthGrant.objects.filter(pk__in=[imap.grant_id, smtp.grant_id]).delete()
        return deleted
