"""Events for programs: one row for each, written by database triggers (alerts.events.triggers)."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account


class EventKind(models.TextChoices):
    """The kinds of events: `type` in the body of a webhook and in the API."""

    MESSAGE_NEW = "message.new", _("a message arrived")
    MESSAGE_FLAGS = "message.flags", _("a message was read, flagged or answered, or no longer is")
    MESSAGE_GONE = "message.gone", _("a message is gone from the server")
    OUTBOX_SENT = "outbox.sent", _("a mail was sent")
    OUTBOX_FAILED = "outbox.failed", _("a mail failed and waits for a person")
    OUTBOX_UNCERTAIN = "outbox.uncertain", _("a mail may or may not have gone out")
    OUTBOX_BOUNCED = "outbox.bounced", _("a mail came back")
    OUTBOX_COMPLAINT = "outbox.complaint", _("a recipient calls a mail unwanted")
    ACCOUNT_NEEDS_SIGN_IN = "account.needs_sign_in", _("a server refuses the sign-in of an account")
    ACCOUNT_BACK = "account.back", _("the sign-in of an account is no longer refused")
    FOLDER_RESET = "folder.reset", _("the server numbered a folder anew")
    SYNC_BEHIND = "sync.behind", _("a folder is behind or cannot be fetched")


class Event(models.Model):
    """One event. `number`: its position in the order for readers; None until it is numbered (alerts.events.numbers).

    Related rows are given by pk, not by foreign key: events outlive them, and no constraint is checked for each mail.
    """

    number = models.BigIntegerField(null=True, unique=True)
    kind = models.CharField(max_length=21)  # of EventKind
    # None until it is numbered, for events of tables without a column for the account.
    account = models.ForeignKey(
        Account, models.CASCADE, null=True, related_name="+", db_constraint=False, db_index=False
    )
    message_pk = models.BigIntegerField(null=True)
    outbox_pk = models.BigIntegerField(null=True)
    folder_pk = models.BigIntegerField(null=True)
    transport_pk = models.BigIntegerField(null=True)
    detail = models.JSONField(default=dict)  # some columns of the row, as they were then
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "events"
        indexes = [models.Index(fields=["id"], name="event_without_number", condition=Q(number=None))]

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def identifier(self) -> str:
        """An id that is the same at each delivery and differs between installations, also after a restore reused the
        pk."""
        known = f"{settings.BASE_URL} {self.pk} {self.created_at.isoformat()}"
        return f"evt_{hashlib.sha256(known.encode()).hexdigest()[:32]}"

    @property
    def subject(self) -> str:
        """The message, outbox row, folder or account that it concerns: events with one subject are posted in order."""
        if self.message_pk is not None:
            return f"message {self.message_pk}"
        if self.outbox_pk is not None:
            return f"outbox {self.outbox_pk}"
        return f"folder {self.folder_pk}" if self.folder_pk is not None else f"account {self.account_id}"

    def facts(self) -> dict[str, Any]:
        """The event's data as in the API and in webhooks."""
        return {
            "number": self.number,
            "account_id": self.account_id,
            "message_id": self.message_pk,
            "outbox_id": self.outbox_pk,
            "folder_id": self.folder_pk,
            "detail": self.detail,
        }


class EventNumbers(models.Model):
    """The last number given. Its one row is locked while events are numbered."""

    last = models.BigIntegerField(default=0)

    class Meta:
        db_table = "event_numbers"
        verbose_name_plural = "event numbers"

    def __str__(self) -> str:
        return f"up to {self.last}"
