"""Attempts to deliver outbox rows: the worker, the times, the phase reached, the server's replies."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.messages import OutboxMessage


class DeliveryAttempt(models.Model):
    """One try to send a row: when, by which worker, how far it came, the server's replies. Made by the claim."""

    class Phase(models.TextChoices):
        """The last phase reached. DOT is committed before the end of the mail (CRLF.CRLF, RFC 5321 4.1.1.4) is sent."""

        CLAIM = "claim", _("claimed")
        CONNECT = "connect", _("connect")
        TLS = "tls", _("tls")
        AUTH = "auth", _("auth")
        MAIL = "mail", _("mail")
        RCPT = "rcpt", _("rcpt")
        DATA = "data", _("data")
        DOT = "dot", _("dot")
        ACCEPTED = "accepted", _("accepted")

    class Outcome(models.TextChoices):
        RUNNING = "", _("running")
        ACCEPTED = "accepted", _("accepted")
        PARTIAL = "partial", _("accepted for some recipients")
        TRANSIENT = "transient", _("failed for now")
        PERMANENT = "permanent", _("refused for good")
        SIGN_IN = "sign_in", _("sign-in refused")
        THROTTLED = "throttled", _("asked to wait")
        UNCERTAIN = "uncertain", _("outcome unknown")
        ABANDONED = "abandoned", _("the worker stopped before anything was sent")

    outbox = models.ForeignKey(OutboxMessage, models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()  # 1, 2, ... of this row
    claim_token = models.CharField(max_length=32, unique=True)
    worker = models.CharField(max_length=200)
    requested_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    failure_mode = models.CharField(max_length=10, blank=True)  # a drill: "network" or "provider"
    message_id = models.CharField(max_length=998)
    prx_attempt = models.CharField(max_length=32)  # the value of the header field X-PRX-Attempt: a secret mark
    phase = models.CharField(max_length=8, choices=Phase, default=Phase.CLAIM)
    outcome = models.CharField(max_length=9, choices=Outcome, blank=True, default="")
    reply_code = models.PositiveIntegerField(null=True)
    reply = models.TextField(blank=True)
    transcript = models.JSONField(default=list, blank=True)  # [{"at": iso, "phase", "command", "reply"}], no secrets
    started_at = models.DateTimeField()
    data_at = models.DateTimeField(null=True)  # when "dot" was committed
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "delivery_attempts"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["outbox", "number"], name="attempt_number_unique")]
        # Some servers replace the Message-ID, so a delivery report may name the attempt by prx_attempt alone.
        indexes = [
            models.Index(fields=["prx_attempt"], name="attempt_by_stamp"),
            models.Index(fields=["outbox"], name="attempt_drill", condition=models.Q(failure_mode__gt="")),
            models.Index(fields=["reply_code"], name="attempt_refused", condition=models.Q(reply_code__gte=300)),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of outbox {self.outbox_id}"
