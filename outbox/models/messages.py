"""The outbox: one row a mail, its state machine, its recipients and attachments."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account, Message
from mailbox.models.file_kinds import LARGE_FROM, KindOf

SILENT_AFTER = timedelta(
    seconds=25
)  # a worker renews its claim each 10 s while it waits, and each step takes 10 at most


class OutboxQuerySet(models.QuerySet["OutboxMessage"]):
    """The states by name; the tabs of the outbox page are these.

    Only a failed row has a hold. Saying so lets `outbox_tab` hand out a state newest first, unsorted: among a million
    sent rows the first page takes a second otherwise.
    """

    def whose(self, accounts: Collection[int] | models.QuerySet[Any, Any]) -> OutboxQuerySet:
        """Of these accounts, for states that are not over.

        Said as a sum, which no index knows: what is not over is little, and by an index over the account a planner
        would read all that the account ever sent.
        """
        return self.alias(whose=F("account_id") + 0).filter(whose__in=accounts)

    def queued(self) -> OutboxQuerySet:
        return self.filter(status=OutboxMessage.Status.PENDING, hold="")

    def sending(self) -> OutboxQuerySet:
        return self.filter(status=OutboxMessage.Status.SENDING, hold="")

    def retrying(self) -> OutboxQuerySet:
        """Failed, and the workers will try again by themselves."""
        return self.filter(status=OutboxMessage.Status.FAILED, hold="")

    def needs_decision(self) -> OutboxQuerySet:
        """It may or may not have gone out; only a person may say."""
        return self.filter(status=OutboxMessage.Status.FAILED, hold=OutboxMessage.Hold.UNCERTAIN)

    def failed_for_good(self) -> OutboxQuerySet:
        """Failed, and waiting for a person for another reason than uncertainty."""
        return self.filter(status=OutboxMessage.Status.FAILED).exclude(hold__in=["", OutboxMessage.Hold.UNCERTAIN])

    def sent(self) -> OutboxQuerySet:
        return self.filter(status=OutboxMessage.Status.SENT, hold="")

    def cancelled(self) -> OutboxQuerySet:
        return self.filter(status=OutboxMessage.Status.CANCELLED, hold="")

    def waiting(self) -> OutboxQuerySet:
        """Pending, or failed without a hold: what the workers will deliver some time."""
        return self.filter(status__in=OutboxMessage.CLAIMABLE, hold="")

    def due(self, now: datetime) -> OutboxQuerySet:
        """What the workers may claim at this instant, as far as the row itself says."""
        return self.waiting().filter(next_attempt_at__lte=now)


class OutboxMessage(models.Model):
    """One mail to be sent. MIME, envelope and attachments are frozen when the row is created.

    pending | failed -> sending -> sent | failed;  pending | failed -> cancelled.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("queued")
        SENDING = "sending", _("sending")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    class Hold(models.TextChoices):
        """Why a failed row waits for a person."""

        PERMANENT = "permanent", _("the server refused it for good")
        GAVE_UP = "gave_up", _("tried for too long")
        SIGN_IN = "sign_in", _("the account must sign in again")
        UNCERTAIN = "uncertain", _("it may or may not have gone out")

    CLAIMABLE = (Status.PENDING, Status.FAILED)

    account = models.ForeignKey(Account, models.CASCADE, related_name="outbox", db_index=False)
    to = models.TextField()  # header values: comma-separated addresses, with display names
    cc = models.TextField(blank=True)
    bcc = models.TextField(blank=True)
    subject = models.TextField()
    body_text = models.TextField()
    body_html = models.TextField(blank=True)
    in_reply_to = models.TextField(blank=True)
    references_header = models.TextField(blank=True)
    parent = models.ForeignKey(Message, models.SET_NULL, null=True, blank=True, related_name="answers", db_index=False)

    # Frozen: the MIME bytes lie in the raw store; an attempt adds only its Message-ID and its X-PRX-Attempt.
    # The Message-ID in a mail that a program submitted; "": each attempt makes one.
    message_id = models.CharField(max_length=998, blank=True, default="", db_default="")
    # Who makes the part of the text that stands nowhere here, and of what: see outbox.compose.private_part.
    private_part = models.CharField(max_length=60, blank=True, default="", db_default="", editable=False)
    mail_from = models.CharField(max_length=320)
    # What stands in From where that is not the account's own name and address, but one of its further ones.
    header_from = models.TextField(blank=True, default="", db_default="")
    mime_digest = models.CharField(max_length=64)
    mime_size = models.BigIntegerField()
    needs_smtputf8 = models.BooleanField(default=False)
    dsn_parameters = models.CharField(max_length=130, blank=True, default="", db_default="")  # of MAIL, as submitted

    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    hold = models.CharField(max_length=9, choices=Hold, blank=True, default="")
    retries = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    provider_message_id = models.CharField(max_length=998, null=True)  # the Message-ID the server accepted
    error_code = models.CharField(max_length=20, blank=True)  # an errors.ErrorCode
    error = models.TextField(blank=True)  # the server's words, first

    # The claim. `former_status` is what a lapsed claim falls back to; `data_at` is committed before the end of
    # the mail (the final dot) is sent, and from then on nobody but the server knows the outcome.
    claim_token = models.CharField(max_length=32, blank=True)
    claimed_by = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    former_status = models.CharField(max_length=9, blank=True)
    data_at = models.DateTimeField(null=True)

    # The number of the newest attempt, 0 before the first. Whatever settles an attempt's outcome is conditional on it:
    # PostgreSQL evaluates a sub-query over the attempts by the snapshot from before the wait for this row.
    last_attempt = models.PositiveIntegerField(default=0, db_default=0)

    # What a click asked of the next attempt: who clicked, and the drill (staff only). The claim takes both over.
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    failure_mode = models.CharField(max_length=10, blank=True)

    send_at = models.DateTimeField(null=True)  # not before; a person chose it
    undo_until = models.DateTimeField(null=True)  # held back until then, so that whoever wrote it may think again
    idempotency_key = models.CharField(max_length=200, null=True)
    request_digest = models.CharField(max_length=64, null=True)  # of what was asked for under that key
    created_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    sent_at = models.DateTimeField(null=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        db_table = "outbox"
        verbose_name = _("outbox message")
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="outbox_idempotency_key_unique"),
            models.CheckConstraint(
                name="outbox_status_known",
                condition=Q(status__in=["pending", "sending", "sent", "failed", "cancelled"]),
            ),
            models.CheckConstraint(name="outbox_hold_only_when_failed", condition=Q(hold="") | Q(status="failed")),
            models.CheckConstraint(
                name="outbox_claim_only_when_sending",
                condition=Q(status="sending", lease_expires_at__isnull=False) & ~Q(claim_token="")
                | ~Q(status="sending") & Q(claim_token="", lease_expires_at=None),
            ),
        ]
        indexes = [
            # Small however many rows were sent: the sweep and the claim read only these.
            models.Index(
                fields=["account", "next_attempt_at"],
                name="outbox_waiting",
                condition=Q(status__in=["pending", "failed"], hold=""),
            ),
            models.Index(fields=["lease_expires_at"], name="outbox_claimed", condition=Q(status="sending")),
            models.Index(fields=["status", "hold", "-id"], name="outbox_tab"),
            models.Index(fields=["created_at"], name="outbox_written"),
            models.Index(fields=["account", "-id"], name="outbox_newest_of_account"),
            # Of few rows each, so that no sending keeps them up: what a page asks for among a million.
            models.Index(fields=["account", "-id"], name="outbox_cancelled", condition=Q(status="cancelled")),
            models.Index(fields=["parent"], name="outbox_answers", condition=Q(parent__isnull=False)),
            models.Index(fields=["error_code", "-id"], name="outbox_error", condition=Q(error_code__gt="")),
            models.Index(fields=["-id"], name="outbox_drill", condition=Q(failure_mode__gt="")),
        ]

    def __str__(self) -> str:
        return f"outbox {self.pk}: {self.subject}"

    def silent_since(self, now: datetime) -> datetime | None:
        """When the worker that has this row gave its last sign of life, if that is longer ago than a living one leaves
        between two; None while it lives, and for a row that no worker has. While a row is being sent only its worker
        writes it."""
        is_silent = self.status == self.Status.SENDING and now - self.updated_at > SILENT_AFTER
        return self.updated_at if is_silent else None


class DomainOf(models.Func):
    """What follows the first @ of an address, lower case. Without parameters, or SQLite would not use its index."""

    output_field = models.TextField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "SUBSTR(LOWER(%(expressions)s), INSTR(LOWER(%(expressions)s), '@') + 1)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "SUBSTR(LOWER(%(expressions)s), STRPOS(LOWER(%(expressions)s), '@') + 1)"
        return self.as_sql(compiler, connection, template=template, **context)


class OutboxRecipient(models.Model):
    """One envelope recipient and what the server said of it. A retry goes only to those not yet accepted."""

    class Kind(models.TextChoices):
        TO = "to", _("To")
        CC = "cc", _("Cc")
        BCC = "bcc", _("Bcc")

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        ACCEPTED = "accepted", _("accepted")
        REFUSED = "refused", _("refused")  # by the last attempt; reply_code tells whether for good

    outbox = models.ForeignKey(OutboxMessage, models.CASCADE, related_name="recipients")
    kind = models.CharField(max_length=3, choices=Kind)
    address = models.CharField(max_length=320)  # addr-spec only
    status = models.CharField(max_length=8, choices=Status, default=Status.WAITING)
    reply_code = models.PositiveIntegerField(null=True)
    reply = models.TextField(blank=True)
    accepted_at = models.DateTimeField(null=True)
    dsn_parameters = models.CharField(max_length=550, blank=True, default="", db_default="")  # of RCPT, as submitted

    class Meta:
        db_table = "outbox_recipients"
        constraints = [models.UniqueConstraint(fields=["outbox", "address"], name="outbox_recipient_unique")]
        indexes = [
            models.Index(DomainOf("address"), name="recipient_domain"),
            models.Index(fields=["reply_code"], name="recipient_refused", condition=Q(reply_code__gte=300)),
        ]

    def __str__(self) -> str:
        return self.address


class OutboxAttachment(models.Model):
    """One attachment of an outgoing mail; its bytes are cut from the frozen MIME when asked for."""

    outbox = models.ForeignKey(OutboxMessage, models.CASCADE, related_name="attachment_rows")
    # The mail's own, written with it: a list of attachments by date, of an account, is read from an index.
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    created_at = models.DateTimeField()
    position = models.PositiveIntegerField()  # the index that mailbox.mime.message.attachment_bytes takes
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=255)
    size = models.BigIntegerField()  # bytes, decoded
    digest = models.CharField(max_length=64)

    class Meta:
        db_table = "outbox_attachments"
        constraints = [models.UniqueConstraint(fields=["outbox", "position"], name="outbox_attachment_unique")]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="outbox_attachment_newest"),
            models.Index(fields=["account", "-created_at", "-id"], name="outbox_attachment_account"),
            models.Index(KindOf("content_type"), F("created_at").desc(), F("id").desc(), name="outbox_attachment_kind"),
            models.Index(
                fields=["-created_at", "-id", "size"],
                name="outbox_attachment_large",
                condition=Q(size__gte=LARGE_FROM),
            ),
        ]

    def __str__(self) -> str:
        return self.filename


class OutboxCount(models.Model):
    """How many rows of an account are over, by status, as the clock counted them: they grow without end, and no page
    should count a million of them on each look."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    status = models.CharField(max_length=9, choices=OutboxMessage.Status)
    number = models.BigIntegerField()
    counted_at = models.DateTimeField()

    class Meta:
        db_table = "outbox_counts"
        constraints = [models.UniqueConstraint(fields=["account", "status"], name="outbox_count_unique")]

    def __str__(self) -> str:
        return f"{self.number} {self.status}"
