"""E-mail accounts: an address with its switches, and two transports."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.endpoints import Endpoint
from mailbox.models.account_words import SITE_MAIL_IS_NOT_FETCHED, SentCopyChoice
from mailbox.models.oauth import OAuthGrant
from mailbox.models.transports import Transport
from mailbox.presets import keeps_sent_copy
from mailbox.tls import pem_problem


class AccountQuerySet(models.QuerySet["Account"]):
    """States of accounts, as conditions of a query."""

    def with_transports(self) -> AccountQuerySet:
        """With both transports, their grants and the grants' apps, by one JOIN."""
        return self.select_related("imap__grant__app", "smtp__grant__app")

    def with_address(self, address: str) -> AccountQuerySet:
        """The account whose own address this is, whatever its case; by the index of account_email_unique."""
        return self.alias(lower_email=Lower("email")).filter(lower_email=address.lower())

    def syncing(self) -> AccountQuerySet:
        """Accounts with fetching switched on."""
        return self.filter(sync_enabled=True)

    def being_deleted(self) -> AccountQuerySet:
        """Accounts whose deletion was asked for and has not ended (see outbox.account_deletion)."""
        return self.filter(deleting_since__isnull=False)

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
    deleting_since = models.DateTimeField(null=True, editable=False)
    deletion_stopped_at = models.DateTimeField(null=True, editable=False)  # with a part removed; a person decides
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

    def save(self, *args: Any, **kwargs: Any) -> None:
        """To switch fetching or sending on is to keep an account whose deletion was stopped."""
        if self.deletion_stopped_at and (self.sync_enabled or self.send_enabled):
            self.deletion_stopped_at = None
            if (columns := kwargs.get("update_fields")) is not None:
                kwargs["update_fields"] = [*columns, "deletion_stopped_at"]
        super().save(*args, **kwargs)

    def clean(self) -> None:
        if self.ca_certificate and (problem := pem_problem(self.ca_certificate)):
            raise ValidationError({"ca_certificate": problem})
        if any(ord(character) < 32 for character in self.display_name):
            raise ValidationError({"display_name": gettext("A display name has no line breaks or control characters.")})

    def keep(self) -> None:
        """Fetch and send again after a deletion that was stopped."""
        self.sync_enabled, self.send_enabled = not self.sends_site_mail, True
        self.save(update_fields=["sync_enabled", "send_enabled", "updated_at"])

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
