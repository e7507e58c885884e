"""Reports about mail that a server had accepted: bounces, delays, deliveries (RFC 3464) and complaints (RFC 5965)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from mailbox.db.literals import Literal
from mailbox.models import Message
from outbox.models.messages import OutboxMessage, OutboxRecipient
from outbox.models.policy import Singleton


class DeliveryReportQuerySet(models.QuerySet["DeliveryReport"]):
    """Reports by what they say; a report that names several recipients has a row for each."""

    def bounces(self) -> DeliveryReportQuerySet:
        """Reports that a recipient will not get the mail."""
        return self.filter(action=DeliveryReport.Action.FAILED)

    def bounced_rows(self) -> Q:
        """The condition of outbox rows with a bounce."""
        return Q(pk__in=self.bounces().values("outbox"))

    def complaints(self) -> DeliveryReportQuerySet:
        """Reports that a recipient calls the mail unwanted (RFC 5965)."""
        return self.filter(action=DeliveryReport.Action.COMPLAINT)

    def unacknowledged(self) -> DeliveryReportQuerySet:
        """Bounces and complaints that no person has acknowledged yet."""
        open_ones = DeliveryReport.objects.order_by().filter(acknowledged_at=None).values("pk")
        # Each kind by its own small index; SQLite has none for both, and would read all reports of the years.
        each = [open_ones.filter(action=Literal(action)) for action in DeliveryReport.TO_BE_SEEN]
        return self.filter(acknowledged_at=None, pk__in=each[0].union(*each[1:], all=True))

    def whose(self, accounts: Collection[int] | models.QuerySet[Any, Any]) -> DeliveryReportQuerySet:
        """Reports about mail of these accounts; as OutboxQuerySet.whose(), to begin at the reports."""
        return self.alias(whose=F("outbox__account_id") + 0).filter(whose__in=accounts)


class DeliveryReport(models.Model):
    """One report about one recipient of one mail. It never changes the status of the mail."""

    class Action(models.TextChoices):
        """The actions of RFC 3464 2.3.3, and COMPLAINT."""

        FAILED = "failed", _("bounced")
        DELAYED = "delayed", _("delayed")
        DELIVERED = "delivered", _("delivered")
        RELAYED = "relayed", _("relayed")
        EXPANDED = "expanded", _("expanded")
        COMPLAINT = "complaint", _("complaint")  # RFC 5965: the recipient calls it unwanted

    outbox = models.ForeignKey(OutboxMessage, models.CASCADE, related_name="reports")
    recipient = models.ForeignKey(OutboxRecipient, models.CASCADE, null=True, related_name="reports")
    message = models.ForeignKey(Message, models.SET_NULL, null=True, related_name="+")  # the mail that reports
    address = models.CharField(max_length=320)  # as the report names the recipient
    action = models.CharField(max_length=9, choices=Action)
    status_code = models.CharField(max_length=20, blank=True)  # RFC 3463, as in 5.1.1
    words = models.TextField(blank=True)  # the Diagnostic-Code: what the refusing server said
    reporter = models.TextField(blank=True)  # the Reporting-MTA
    # The report contains the attempt's secret X-PRX-Attempt; without that, anybody could have written it.
    is_proven = models.BooleanField(default=False)
    reported_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")

    TO_BE_SEEN = (Action.FAILED, Action.COMPLAINT)  # listed under "Needs you" until a person acknowledges them

    objects = DeliveryReportQuerySet.as_manager()

    class Meta:
        db_table = "delivery_reports"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["outbox", "message", "address", "action"], name="report_once_a_mail")
        ]
        indexes = [
            models.Index(
                fields=["outbox"], name="report_unacknowledged", condition=Q(action="failed", acknowledged_at=None)
            ),
            models.Index(
                fields=["outbox"], name="report_unseen_complaint", condition=Q(action="complaint", acknowledged_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.address}"

    @property
    def is_to_be_seen(self) -> bool:
        """Whether a person has still to acknowledge it: a bounce or a complaint."""
        return self.action in self.TO_BE_SEEN and self.acknowledged_at is None


class ReportCursor(Singleton):
    """The last received message that the sweep has looked at for delivery reports."""

    message_id = models.BigIntegerField(default=0)  # a Message's pk

    class Meta:
        db_table = "report_cursor"

    def __str__(self) -> str:
        return f"up to message {self.message_id}"
