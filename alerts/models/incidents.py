"""Alert rules, incidents and their notices."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import get_language, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from mailbox import credentials
from mailbox.clocks import is_over
from mailbox.models import Account

LONGEST_WAIT = timedelta(hours=3)  # between two tries of a notice


class Kind(models.TextChoices):
    """The kinds of incidents, in the order of the page.

    A new kind needs: a value of at most 10 characters, a migration; a finder in `alerts.problems`; its sentence and
    link on the dashboard (prx_email_site.dashboard.attention, or by its incident: prx_email_site.needs.OF_INCIDENTS); a
    rule in deploy/alerts.yml, which a test checks. A kind that is known only while a worker runs is in
    `installation.TOLD_BY_WORKERS`; a minimum time before anybody is notified is in `alerts.incidents.TELL_AFTER`.
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
    DELETION = "deletion", _("The deletion of an account was stopped")
    ENDING = "ending", _("A grant, secret, certificate or key ends soon")
    BEHIND = "behind", _("A folder is behind or cannot be fetched")
    INCOMPLETE = "incomplete", _("Stored mail differs from the server's")
    QUARANTINE = "quarantine", _("A message could not be fetched or read")
    EVENTS = "events", _("Programs are not told what happens")
    ALERT_MAIL = "alert_mail", _("An alert could not be mailed (told by webhook only)")


class Channel(models.TextChoices):
    """How a rule's notices are sent."""

    MAIL = "mail", pgettext_lazy("channel of an alert", "mail")
    WEBHOOK = "webhook", _("webhook")


class AlertRule(models.Model):
    """Notifies one destination of some kinds of incidents, of one account or all."""

    channel = models.CharField(max_length=7, choices=Channel)
    # Mail: to a user of this site (at the address the user has then) or to `address`, from the account `sender`.
    user = models.ForeignKey("auth.User", models.CASCADE, null=True, blank=True, related_name="alert_rules")
    address = models.CharField(max_length=320, blank=True)
    sender = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    url = models.CharField(max_length=2000, blank=True)  # of the webhook; it may contain a secret: not in lists or logs
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
        """What to do when the key of the secret is lost; stored_secrets reports it."""
        return f"{self}: give the webhook a new secret, here and where it is received"

    @property
    def secret(self) -> str:
        """The key of the webhook's signature. Raises DecryptionFailed."""
        return credentials.decrypt(self.encrypted_secret) or ""

    @secret.setter
    def secret(self, value: str) -> None:
        self.encrypted_secret, self.secret_set_at = credentials.encrypt(value), timezone.now()

    @property
    def mail_address(self) -> str:
        """The address that mail goes to now; "" while the user has none."""
        return self.user.email if self.user else self.address

    def wants(self, kind: str, account_id: int | None) -> bool:
        """Whether this rule notifies of such an incident. One without an account also matches rules of one account."""
        if kind == Kind.ALERT_MAIL and self.channel == Channel.MAIL:
            return False  # otherwise each failed alert mail would cause another one
        fits = self.account_id is None or account_id is None or self.account_id == account_id
        return self.is_on and fits and (not self.kinds or kind in self.kinds)


class IncidentQuerySet(models.QuerySet["AlertIncident"]):
    """Incidents by their state."""

    def open(self) -> IncidentQuerySet:
        """Incidents that are not over, also those whose problem has been absent for a moment."""
        return self.filter(closed_at=None)


class AlertIncident(models.Model):
    """A problem that needs a person, from when it was first found until it has been absent for a while."""

    key = models.CharField(max_length=100)  # "sign_in:imap:3"; one open incident a key
    kind = models.CharField(max_length=10, choices=Kind)
    account = models.ForeignKey(Account, models.CASCADE, null=True, related_name="+")
    sentence = models.CharField(max_length=500)  # in English, for programs, metrics and notices
    translations = models.JSONField(default=dict, db_default={})  # language code -> the sentence, when it was stored
    path = models.CharField(max_length=300)  # of the page where it can be fixed
    count = models.PositiveBigIntegerField(default=1)
    newest = models.BigIntegerField(default=0)  # the highest pk of the counted rows: a higher one means more of them
    opened_at = models.DateTimeField()
    present_since = models.DateTimeField()  # reset when the problem comes back after an absence
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
        """The sentence in the reader's language; "" where no translation was stored, and `sentence` is to be shown."""
        return str(self.translations.get(get_language(), ""))


class NoticeQuerySet(models.QuerySet["AlertNotice"]):
    """Notices that are to be sent, and the claim of one attempt."""

    def due(self, now: datetime) -> NoticeQuerySet:
        """Waiting notices whose time has come. A notice of the end waits until that of the beginning was sent or
        failed."""
        beginning = AlertNotice.objects.filter(
            incident=OuterRef("incident"), target=OuterRef("target"), phase="begin", state="waiting"
        )
        waiting = self.filter(is_over("next_try_at", now, LONGEST_WAIT), state=AlertNotice.State.WAITING)
        return waiting.exclude(Q(phase="end") & Exists(beginning)).order_by("pk")

    def claim(self, pk: int, now: datetime, until: datetime) -> bool:
        """Claim one attempt by one conditional UPDATE; return whether it worked. If the process dies, the notice can be
        claimed again from `until` on."""
        waiting = self.filter(is_over("next_try_at", now, LONGEST_WAIT), pk=pk, state=AlertNotice.State.WAITING)
        return waiting.update(next_try_at=until, tries=F("tries") + 1) == 1


class AlertNotice(models.Model):
    """One notice to one destination: that an incident began, that it ended, or a test."""

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
    target = models.CharField(max_length=80)  # key of the destination: two rules for one address notify once
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
