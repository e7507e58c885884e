"""Webhooks that events are posted to, and their deliveries."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models.events import Event, EventKind
from mailbox import credentials
from mailbox.db.literals import Literal
from mailbox.models import Account


class Webhook(models.Model):
    """A URL that events are posted to, in order, beginning with those after it was added."""

    name = models.CharField(max_length=80)
    url = models.CharField(max_length=2000)  # it may contain a secret: not in lists or logs
    encrypted_secret = models.TextField(editable=False)  # whsec_ and base64
    secret_set_at = models.DateTimeField(null=True, editable=False)  # NULL: when the webhook was made
    kinds = models.JSONField(default=list, blank=True)  # of EventKind; empty: all
    # A column of its own: a webhook for two accounts must not become one for all when both accounts are deleted.
    all_accounts = models.BooleanField(default=True)
    accounts = models.ManyToManyField(Account, related_name="+", db_table="webhook_accounts", blank=True)
    is_on = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    # Every wanted event up to this number has its delivery.
    cursor = models.BigIntegerField(default=0)
    # While the receiver does not answer, all deliveries wait: attempts in a row, since when, and when the next is due.
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(default=timezone.now)
    # One worker at a time, as otherwise the order would be lost.
    lease_token = models.CharField(max_length=32, blank=True)
    lease_expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "webhooks"

    def __str__(self) -> str:
        return self.name

    def when_key_is_lost(self) -> str:
        """What to do when the key of the secret is lost; stored_secrets reports it."""
        return f"webhook {self.name}: give it a new secret, here and where it is received"

    @property
    def secret(self) -> str:
        """The secret, beginning with whsec_. Raises DecryptionFailed."""
        return credentials.decrypt(self.encrypted_secret) or ""

    @secret.setter
    def secret(self, value: str) -> None:
        self.encrypted_secret, self.secret_set_at = credentials.encrypt(value) or "", timezone.now()

    def wanted_kinds(self) -> list[str]:
        """The kinds of events to post; all if none is chosen."""
        return list(self.kinds) or list(EventKind.values)


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    """Deliveries by their state. Few wait or were given up, of a week's events: each state has an index of its own,
    which SQLite takes only for a literal."""

    def waiting(self) -> WebhookDeliveryQuerySet:
        """Those that are still to be posted."""
        return self.filter(state=Literal(WebhookDelivery.State.WAITING))

    def given_up(self) -> WebhookDeliveryQuerySet:
        """Those that the receiver refused too often."""
        return self.filter(state=Literal(WebhookDelivery.State.FAILED))

    def in_state(self, state: str) -> WebhookDeliveryQuerySet:
        """Those in this state, of which any may be asked for."""
        return self.filter(state=Literal(WebhookDelivery.State(state)))


class WebhookDelivery(models.Model):
    """One event for one webhook, or a test of it. It may be posted more than once, always with the same webhook-id."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("delivered")
        FAILED = "failed", _("given up")

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, models.CASCADE, null=True, related_name="+")  # None: a test
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    result = models.CharField(max_length=300, blank=True)  # a sentence
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        db_table = "webhook_deliveries"
        verbose_name_plural = "webhook deliveries"
        constraints = [models.UniqueConstraint(fields=["webhook", "event"], name="webhook_delivery_once")]
        indexes = [
            models.Index(fields=["webhook", "id"], condition=Q(state="waiting"), name="webhook_delivery_waiting"),
            models.Index(fields=["webhook", "id"], condition=Q(state="failed"), name="webhook_delivery_failed"),
            models.Index(fields=["webhook", "-id"], name="webhook_delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk} ({self.state})"
