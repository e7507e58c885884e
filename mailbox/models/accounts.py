"""Accounts and their two transports."""

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
    """How one server is reached and signed in to: IMAP or SMTP of one account.

    Secrets are set through the properties `password` and `oauth_token`, which encrypt; an absent one is NULL.
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
    # Whether the host may be one of an inner network: said by an administrator of all accounts, or on the machine.
    private_host_allowed = models.BooleanField(default=True, db_default=True, editable=False)
    encrypted_password = models.TextField(null=True, editable=False)
    encrypted_oauth_token = models.TextField(null=True, editable=False)
    oauth_expires_at = models.DateTimeField(null=True, editable=False)  # of that token, where somebody said it
    # Instead of a token of its own: the account's grant, whose access token is kept good by refreshes.
    grant = models.ForeignKey(OAuthGrant, models.PROTECT, null=True, related_name="transports", editable=False)

    # The server refused the credentials: set by whoever was refused, cleared when they change.
    needs_sign_in_since = models.DateTimeField(null=True, editable=False)
    # The server's words of the last failure, and when it may be asked again (throttled, unavailable).
    last_reply = models.TextField(blank=True, editable=False)
    # The server's newest [ALERT] (RFC 3501, 7.1).
    alert = models.TextField(blank=True, default="", db_default="", editable=False)
    alerted_at = models.DateTimeField(null=True, editable=False)
    failure_count = models.PositiveIntegerField(default=0, editable=False)
    next_allowed_at = models.DateTimeField(null=True, editable=False)
    # The first of the failures since the server last took a mail; of an SMTP server only that ends them.
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
        """The password in clear; raises credentials.DecryptionFailed when no key opens it."""
        return credentials.decrypt(self.encrypted_password)

    @password.setter
    def password(self, value: str | None) -> None:
        self.encrypted_password = credentials.encrypt(value)

    @property
    def oauth_token(self) -> str | None:
        """The OAuth access token in clear, its own or its grant's; raises credentials.DecryptionFailed."""
        return self.grant.access_token if self.grant else credentials.decrypt(self.encrypted_oauth_token)

    @oauth_token.setter
    def oauth_token(self, value: str | None) -> None:
        self.encrypted_oauth_token, self.oauth_expires_at = credentials.encrypt(value), None

    @property
    def auth_method(self) -> str:
        """ "oauth" or "password", without decrypting either. A grant counts as the token."""
        return "password" if self.encrypted_password is not None else "oauth"

    def clean(self) -> None:
        if problem := host_problem(self.host):
            raise ValidationError({"host": problem})
        if any(ord(character) < 32 for character in self.user):
            raise ValidationError({"user": gettext("A user name has no line breaks or control characters.")})

    @property
    def public_only(self) -> bool:
        """Whether the host must be one of the public Internet."""
        return not (self.private_host_allowed or settings.ACCOUNT_ALLOW_PRIVATE)

    def endpoint(self, ca_certificate: str = "") -> Endpoint:
        """What imap.py and smtp.py need to connect, secrets in clear: never log, store or pass it to a task."""
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
        """The server refused these very credentials. Conditional: they may have been changed in the meantime.

        The access token of a grant may have ended before its time: it is refreshed once before a person is asked.
        """
        if self.grant is not None and self.grant.takes_refusal():
            return
        self._same_credentials().filter(needs_sign_in_since=None).update(needs_sign_in_since=now)
        self._same_credentials().update(last_reply=reply, failure_count=models.F("failure_count") + 1)

    def mark_unavailable(self, reply: str, until: datetime, now: datetime | None = None) -> None:
        """The server could not be reached or asked to wait: leave it alone until `until`. `now`: by default, now.

        The words of a refused sign-in stay: they say what a person has to do, and no weather changes that.
        """
        refused = models.When(needs_sign_in_since__isnull=False, then=models.F("last_reply"))
        Transport.objects.filter(pk=self.pk).update(
            last_reply=models.Case(refused, default=models.Value(reply), output_field=models.TextField()),
            next_allowed_at=until,
            failure_count=models.F("failure_count") + 1,
            failing_since=Coalesce(models.F("failing_since"), models.Value(now or timezone.now())),
        )

    def mark_working(self) -> None:
        """The server did what it is there for: it took a mail. A sign-in alone does not say that it would."""
        Transport.objects.filter(pk=self.pk, failing_since__isnull=False).update(failing_since=None)

    def note_alert(self, words: str, now: datetime) -> None:
        """Keep what the server marked as to be shown to its user (RFC 3501, 7.1: ALERT). The newest counts."""
        Transport.objects.filter(pk=self.pk).exclude(alert=words).update(alert=words, alerted_at=now)

    def mark_signed_in(self) -> None:
        """A login with these credentials succeeded."""
        self._same_credentials().update(needs_sign_in_since=None, last_reply="", failure_count=0, next_allowed_at=None)

    def _same_credentials(self) -> models.QuerySet[Transport]:
        return Transport.objects.filter(
            pk=self.pk,
            encrypted_password=self.encrypted_password,
            encrypted_oauth_token=self.encrypted_oauth_token,
            grant=self.grant_id,
        )


class AccountQuerySet(models.QuerySet["Account"]):
    def with_transports(self) -> AccountQuerySet:
        return self.select_related("imap__grant__app", "smtp__grant__app")

    def syncing(self) -> AccountQuerySet:
        """Accounts whose mail is fetched: switched on."""
        return self.filter(sync_enabled=True)

    def sending(self) -> AccountQuerySet:
        """Accounts whose outbox workers may deliver: switched on and not paused, sign-in in order."""
        return self.filter(send_enabled=True, sending_paused_at=None, smtp__needs_sign_in_since=None)

    def needing_sign_in(self) -> AccountQuerySet:
        return self.filter(Q(imap__needs_sign_in_since__isnull=False) | Q(smtp__needs_sign_in_since__isnull=False))


class Account(models.Model):
    """A mailbox: an address, an IMAP and an SMTP transport, and its switches."""

    email = models.EmailField(max_length=254)
    display_name = models.CharField(max_length=200, blank=True)
    signature = models.TextField(blank=True, default="", db_default="")  # below what is written in the browser
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
    # Hold a connection to the inbox where the server offers IDLE. Polling goes on in either case.
    push_enabled = models.BooleanField(_("push"), default=True)
    messages_per_minute = models.PositiveIntegerField(
        _("messages a minute, at most"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("For a provider that limits how fast one may send. Empty: no limit."),
    )
    # The one account that sends invitations and links to set a password. It is never fetched: what it sent, and what
    # bounced, would be read here with the links in it.
    sends_site_mail = models.BooleanField(default=False, db_default=False, editable=False)
    # A pause keeps accepting mail and holds it back; send_enabled=False refuses new mail (FeatureDisabled).
    sending_paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    folders_listed_at = models.DateTimeField(null=True, editable=False)
    # When a person last asked for a sync or a listing that no worker has begun: a broker may lose its queue.
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
        return self.imap.endpoint(self.ca_certificate)

    def wants_sent_copy(self) -> bool:
        """Whether the copy in Sent is ours to make: providers that make it themselves would show the mail twice."""
        if self.sent_copy == SentCopyChoice.AUTOMATIC:
            return not keeps_sent_copy(self.smtp.host)
        return self.sent_copy == SentCopyChoice.ALWAYS

    def smtp_endpoint(self) -> Endpoint:
        return self.smtp.endpoint(self.ca_certificate)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the account, all that hangs on it, and its transports, which nothing else refers to."""
        with transaction.atomic():
            imap, smtp = self.imap, self.smtp
            deleted = super().delete(*args, **kwargs)
            imap.delete()
            smtp.delete()
            OAuthGrant.objects.filter(pk__in=[imap.grant_id, smtp.grant_id]).delete()
        return deleted
