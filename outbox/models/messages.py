"""The outbox: one row for each mail, its states, its recipients and attachments."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.db.literals import Literal
from mailbox.models import Account, Message
from mailbox.models.file_kinds import LARGE_FROM, LARGE_MAIL, KindOf

_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)  # no row is due earlier
SILENT_AFTER = timedelta(
    seconds=25
)  # a worker renews its claim every 10 s while it waits, and a step takes at most 10 s


class OutboxQuerySet(models.QuerySet["OutboxMessage"]):
    """The states of rows by name; each is a tab of the outbox page.

    Only a failed row has a hold. The other states say hold="" all the same, so that the index `outbox_tab` returns them
    newest first without sorting; else the first page of a million sent rows takes a second.
    """

    def whose(self, accounts: Collection[int] | models.QuerySet[Any, Any]) -> OutboxQuerySet:
        """The rows of these accounts, for states other than sent and cancelled.

        The account is compared as a sum, so that no index over the account is used: there are few rows in these
        states, and by such an index the planner would read all rows that the account ever sent.
        """
        return self.alias(whose=F("account_id") + 0).filter(whose__in=accounts)

    def queued(self) -> OutboxQuerySet:
        """Rows that were not tried yet, also those for a later time."""
        return self.filter(status=OutboxMessage.Status.PENDING, hold="")

    def sending(self) -> OutboxQuerySet:
        """Rows that a worker has claimed, also one that has died since: recovery looks for expired leases."""
        return self.filter(status=OutboxMessage.Status.SENDING, hold="")

    def retrying(self) -> OutboxQuerySet:
        """Failed rows that workers will try again."""
        return self.filter(status=OutboxMessage.Status.FAILED, hold="")

    def needs_decision(self) -> OutboxQuerySet:
        """Failed rows whose mail may or may not have been sent; a person decides."""
        return self.filter(status=OutboxMessage.Status.FAILED, hold=OutboxMessage.Hold.UNCERTAIN)

    def failed_for_good(self) -> OutboxQuerySet:
        """Failed rows that wait for a person for another reason than an uncertain outcome."""
        return self.filter(status=OutboxMessage.Status.FAILED).exclude(hold__in=["", OutboxMessage.Hold.UNCERTAIN])

    def held_for_sign_in(self) -> OutboxQuerySet:
        """Failed rows that wait until the account's sign-in at its SMTP server works."""
        return self.filter(status=OutboxMessage.Status.FAILED, hold=OutboxMessage.Hold.SIGN_IN)

    def sent(self) -> OutboxQuerySet:
        """Rows whose mail a server has accepted, by its own answer, a look in Sent or a person's word."""
        return self.filter(status=OutboxMessage.Status.SENT, hold="")

    def cancelled(self) -> OutboxQuerySet:
        """Rows that a person took back in time, by Cancel, Undo or a correction of addresses."""
        return self.filter(status=OutboxMessage.Status.CANCELLED, hold="")

    def waiting(self) -> OutboxQuerySet:
        """Pending rows, and failed ones without a hold: workers will deliver them when they are due.

        The states are literals, else SQLite passes over the index outbox_waiting, which is for these rows alone.
        """
        return self.filter(status__in=[Literal(each) for each in OutboxMessage.CLAIMABLE], hold=Literal(""))

    def waiting_of_accounts(self) -> OutboxQuerySet:
        """`waiting`, for queries by account without a bound on `next_attempt_at`.

        SQLite, which keeps no statistics here, would read all rows of an account by another index unless the second
        column of outbox_waiting is bounded, too: by what is true of all rows.
        """
        return self.waiting().filter(next_attempt_at__gt=_BEFORE_ALL)

    def due(self, now: datetime) -> OutboxQuerySet:
        """Rows that workers may claim at `now`, as far as the row decides; its account may be in backoff or paused."""
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

    # Frozen: the MIME bytes are in the raw store; an attempt adds only its Message-ID and its X-PRX-Attempt.
    # message_id: that of a mail that a program submitted; "": each attempt makes one.
    message_id = models.CharField(max_length=998, blank=True, default="", db_default="")
    # "maker:key" of a part of the text that is stored nowhere, or "": see outbox.compose.private_part.
    private_part = models.CharField(max_length=60, blank=True, default="", db_default="", editable=False)
    mail_from = models.CharField(max_length=320)
    # The value of From if its address is one of the account's aliases; "" for the account's own address.
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
    error = models.TextField(blank=True)  # begins with the server's reply, if there is one

    # The claim. `former_status` is restored when a claim lapses; `data_at` is committed before the end of the mail (the
    # final dot) is sent, and from then on only the server knows the outcome.
    claim_token = models.CharField(max_length=32, blank=True)
    claimed_by = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    former_status = models.CharField(max_length=9, blank=True)
    data_at = models.DateTimeField(null=True)

    # The number of the newest attempt, 0 before the first. UPDATEs that settle an attempt's outcome are conditional on
    # this column and not on a sub-query over the attempts, which PostgreSQL evaluates by the snapshot from before the
    # wait for this row's lock.
    last_attempt = models.PositiveIntegerField(default=0, db_default=0)

    # The next attempt's user, who clicked, and its drill (staff only). The claim moves both to the attempt.
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    failure_mode = models.CharField(max_length=10, blank=True)

    send_at = models.DateTimeField(null=True)  # the chosen time before which it is not sent
    undo_until = models.DateTimeField(null=True)  # the end of the undo window; it is not sent before
    idempotency_key = models.CharField(max_length=200, null=True)
    request_digest = models.CharField(max_length=64, null=True)  # SHA-256 of the request under that key
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
            # Small, however many rows were sent: the sweep and the claim read only rows of this index.
            models.Index(
                fields=["account", "next_attempt_at"],
                name="outbox_waiting",
                condition=Q(status__in=["pending", "failed"], hold=""),
            ),
            models.Index(fields=["lease_expires_at"], name="outbox_claimed", condition=Q(status="sending")),
            models.Index(fields=["status", "hold", "-id"], name="outbox_tab"),
            models.Index(fields=["created_at"], name="outbox_written"),
            models.Index(fields=["account", "-id"], name="outbox_newest_of_account"),
            # What an account sent on a day: for its figures and their list. Rows that were not sent are not in it.
            models.Index(fields=["account", "sent_at"], name="outbox_sent_at", condition=Q(sent_at__isnull=False)),
            # Partial indexes of few rows, which ordinary sending does not touch: for filters among a million rows.
            models.Index(fields=["account", "-id"], name="outbox_cancelled", condition=Q(status="cancelled")),
            models.Index(fields=["parent"], name="outbox_answers", condition=Q(parent__isnull=False)),
            models.Index(fields=["error_code", "-id"], name="outbox_error", condition=Q(error_code__gt="")),
            models.Index(fields=["-id"], name="outbox_drill", condition=Q(failure_mode__gt="")),
            models.Index(fields=["created_at", "id"], name="outbox_large", condition=Q(mime_size__gte=LARGE_MAIL)),
            models.Index(fields=["account", "-id"], name="outbox_smtputf8", condition=Q(needs_smtputf8=True)),
        ]

    def __str__(self) -> str:
        return f"outbox {self.pk}: {self.subject}"

    def silent_since(self, now: datetime) -> datetime | None:
        """The last update of a row being sent, if it is older than SILENT_AFTER: its worker seems dead. Else None.

        While a row is being sent, only its worker updates it.
        """
        is_silent = self.status == self.Status.SENDING and now - self.updated_at > SILENT_AFTER
        return self.updated_at if is_silent else None


class DomainOf(models.Func):
    """The text after the first @ of an address, in lower case. It uses no parameters, as SQLite's index requires."""

    output_field = models.TextField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "SUBSTR(LOWER(%(expressions)s), INSTR(LOWER(%(expressions)s), '@') + 1)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "SUBSTR(LOWER(%(expressions)s), STRPOS(LOWER(%(expressions)s), '@') + 1)"
        return self.as_sql(compiler, connection, template=template, **context)


class OutboxRecipient(models.Model):
    """One recipient of the envelope and the server's last reply for it. A retry leaves accepted recipients out."""

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
    """One attachment of an outgoing mail; its bytes are read from the frozen MIME on request."""

    outbox = models.ForeignKey(OutboxMessage, models.CASCADE, related_name="attachment_rows")
    # Copies of the mail's values, so that an index serves a list of attachments by date and account.
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
                fields=["-created_at", "-id", "size"], name="outbox_attachment_large", condition=Q(size__gte=LARGE_FROM)
            ),
        ]

    def __str__(self) -> str:
        return self.filename


class OutboxCount(models.Model):
    """The number of sent or cancelled rows of an account, by status, as a scheduled task counted them.

    These rows grow without end, and pages should not count a million of them each time.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    status = models.CharField(max_length=9, choices=OutboxMessage.Status)
    number = models.BigIntegerField()
    counted_at = models.DateTimeField()

    class Meta:
        db_table = "outbox_counts"
        constraints = [models.UniqueConstraint(fields=["account", "status"], name="outbox_count_unique")]

    def __str__(self) -> str:
        return f"{self.number} {self.status}"
