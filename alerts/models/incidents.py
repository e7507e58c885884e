"""Rules of alerting, incidents, and each notice of one."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from mailbox import credentials
from mailbox.models import Account


class Kind(models.TextChoices):
    """What needs a person. The order is that of the page.

    A new kind needs: a value of at most 10 characters, a migration; a finder in `alerts.problems`; its sentence and
    link on the dashboard (prx_email_site.dashboard.attention); a rule in deploy/alerts.yml, which a test asks for. What
    is known only while a worker runs stands in `installation.TOLD_BY_WORKERS`, what waits before anybody is told
    in `alerts.incidents.TELL_AFTER`.
    """

    WORKERS = "workers", _("No worker runs")
    HOST = "host", _("A host's workers are gone")
    SCHEDULES = "schedules", _("Nothing runs by the clock")
    PUSH = "push", _("Push is not running")
    STORE = "store", _("A host cannot read or write stored mail")
    BROKER = "broker", _("The broker is out of reach")
    DISK = "disk", _("A disk is nearly full")
    RESTORE = "restore", _("No restore was proven lately, or one failed")
    PAUSED = "paused", _("All sending is paused")
    SENDING = "sending", _("An SMTP server takes no mail")
    LATE = "late", _("Mail that is due does not go out")
    SIGN_IN = "sign_in", _("A server refuses the sign-in")
    UNCERTAIN = "uncertain", _("A mail may or may not have gone out")
    FAILED = "failed", _("A mail failed for good")
    BOUNCE = "bounce", _("A mail came back")
    COMPLAINT = "complaint", _("A recipient calls a mail unwanted")
    STOPPED = "stopped", _("A folder is stopped")
    ENDING = "ending", _("A grant, secret, certificate or key ends soon")
    BEHIND = "behind", _("A folder is behind or cannot be fetched")
    INCOMPLETE = "incomplete", _("Stored mail differs from the server's")
    QUARANTINE = "quarantine", _("A message could not be fetched or read")
    EVENTS = "events", _("Programs are not told what happens")
    ALERT_MAIL = "alert_mail", _("An alert could not be mailed (told by webhook only)")


class Channel(models.TextChoices):
    MAIL = "mail", _("mail")
    WEBHOOK = "webhook", _("webhook")


class AlertRule(models.Model):
    """Tell one destination of some kinds of incidents, of one account or all."""

    channel = models.CharField(max_length=7, choices=Channel)
    # Mail: to a user of this site (whatever address the user has then) or to an address, from an account of ours.
    user = models.ForeignKey("auth.User", models.CASCADE, null=True, blank=True, related_name="alert_rules")
    address = models.CharField(max_length=320, blank=True)
    sender = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    url = models.CharField(max_length=2000, blank=True)  # of the webhook; it may hold a secret: not for lists or logs
    encrypted_secret = models.TextField(null=True, editable=False)
    secret_set_at = models.DateTimeField(null=True, editable=False)  # NULL: when the rule was made
    kinds = models.JSONField(default=list, blank=True)  # of Kind; empty: all
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="alert_rules")
    is_on = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "alert_rules"
        constraints = [
            models.CheckConstraint(
                name="alert_rule_has_destination",
                condition=Q(channel="mail", sender__isnull=False) & (Q(user__isnull=False) | ~Q(address=""))
                | Q(channel="webhook") & ~Q(url=""),
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} alert {self.pk}"

    def when_key_is_lost(self) -> str:
        return f"{self}: give the webhook a new secret, here and where it is received"

    @property
    def secret(self) -> str:
        """The key of the webhook's signature; raises DecryptionFailed."""
        return credentials.decrypt(self.encrypted_secret) or ""

    @secret.setter
    def secret(self, value: str) -> None:
        self.encrypted_secret, self.secret_set_at = credentials.encrypt(value), timezone.now()

    @property
    def mail_address(self) -> str:
        """Where a mail goes now; "" while the user has no address."""
        return self.user.email if self.user else self.address

    def wants(self, kind: str, account_id: int | None) -> bool:
        """Whether this incident is told here. One of the whole site is told to the rules of single accounts, too."""
        if kind == Kind.ALERT_MAIL and self.channel == Channel.MAIL:
            return False  # else each failed alert would make the next one
        fits = self.account_id is None or account_id is None or self.account_id == account_id
        return self.is_on and fits and (not self.kinds or kind in self.kinds)


class IncidentQuerySet(models.QuerySet["AlertIncident"]):
    def open(self) -> IncidentQuerySet:
        return self.filter(closed_at=None)


class AlertIncident(models.Model):
    """Something that needs a person, from when it was first seen until it has been gone for a while."""

    key = models.CharField(max_length=100)  # "sign_in:imap:3"; one open incident a key
    kind = models.CharField(max_length=10, choices=Kind)
    account = models.ForeignKey(Account, models.CASCADE, null=True, related_name="+")
    sentence = models.CharField(max_length=500)  # in English, as programs, metrics and notices have it
    translations = models.JSONField(default=dict, db_default={})  # by language code, as it was when it was stored
    path = models.CharField(max_length=300)  # of the page that mends it
    count = models.PositiveBigIntegerField(default=1)
    newest = models.BigIntegerField(default=0)  # the highest pk among what it counts: a higher one is news
    opened_at = models.DateTimeField()
    present_since = models.DateTimeField()  # moved on when it comes back after an absence
    absent_since = models.DateTimeField(null=True)
    alerted_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        db_table = "alert_incidents"
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(closed_at=None), name="alert_incident_open_once")
        ]
        indexes = [models.Index(fields=["-closed_at"], name="alert_incident_closed")]

    def __str__(self) -> str:
        return self.sentence

    @property
    def in_words(self) -> str:
        """In the language of whoever reads, where it had one when this was stored; else "", and the sentence holds."""
        return str(self.translations.get(get_language(), ""))


class NoticeQuerySet(models.QuerySet["AlertNotice"]):
    def due(self, now: datetime) -> NoticeQuerySet:
        """Waiting and allowed. "It is over" waits until "it began" was told or given up."""
        beginning = AlertNotice.objects.filter(
            incident=OuterRef("incident"), target=OuterRef("target"), phase="begin", state="waiting"
        )
        waiting = self.filter(state=AlertNotice.State.WAITING, next_try_at__lte=now)
        return waiting.exclude(Q(phase="end") & Exists(beginning)).order_by("pk")

    def claim(self, pk: int, now: datetime, until: datetime) -> bool:
        """Whether this try is ours: one conditional UPDATE. Who dies at it gives it back at `until`."""
        waiting = self.filter(pk=pk, state=AlertNotice.State.WAITING, next_try_at__lte=now)
        return waiting.update(next_try_at=until, tries=F("tries") + 1) == 1


class AlertNotice(models.Model):
    """One telling, to one destination: that an incident began, that it is over, or a test."""

    class Phase(models.TextChoices):
        BEGIN = "begin", _("began")
        END = "end", _("over")
        TEST = "test", _("test")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")

    incident = models.ForeignKey(AlertIncident, models.CASCADE, null=True, related_name="notices")
    rule = models.ForeignKey(AlertRule, models.CASCADE, related_name="notices")
    phase = models.CharField(max_length=5, choices=Phase)
    target = models.CharField(max_length=80)  # what tells destinations apart: two rules for one address tell once
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    result = models.CharField(max_length=300, blank=True)  # a sentence
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        db_table = "alert_notices"
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "phase", "target"],
                condition=Q(incident__isnull=False),
                name="alert_notice_once",
            )
        ]
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(state="waiting"), name="alert_notice_waiting"),
            models.Index(fields=["rule", "-id"], name="alert_notice_of_rule"),
        ]

    def __str__(self) -> str:
        return f"notice {self.pk} ({self.phase})"
