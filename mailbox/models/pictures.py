"""Pictures that are fetched or made for a person: remote images they asked for, previews of attachments.

All of it can be fetched or made again. The bytes lie in the raw store, which keeps what a `raw_digest` refers to.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models.messages import Message


class ImageFetch(models.Model):
    """Somebody asked for the remote images of a message. A worker fetches them, once."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="image_fetch")
    asked_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now, db_index=True)
    claimed_at = models.DateTimeField(null=True)  # a worker is at it, or died at it
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "image_fetches"
        verbose_name_plural = _("image fetches")

    def __str__(self) -> str:
        return f"images of message {self.message_id}"


class RemoteImage(models.Model):
    """What came of one address: a picture in the raw store, or the reason why there is none."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="remote_images")
    address_digest = models.CharField(max_length=64)  # SHA-256 of the address
    address = models.TextField()
    content_type = models.CharField(max_length=20, blank=True)
    size = models.BigIntegerField(default=0)
    raw_digest = models.CharField(max_length=64, blank=True, db_index=True)
    error = models.CharField(max_length=200, blank=True)
    fetched_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "remote_images"
        constraints = [models.UniqueConstraint(fields=["message", "address_digest"], name="remote_image_unique")]

    def __str__(self) -> str:
        return self.address[:80]


class TrustedSender(models.Model):
    """A person always wants to see the remote images of this sender."""

    user = models.ForeignKey("auth.User", models.CASCADE, related_name="trusted_senders")
    address = models.CharField(max_length=320)  # lower case
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "trusted_senders"
        constraints = [models.UniqueConstraint(fields=["user", "address"], name="trusted_sender_unique")]
        ordering = ["address"]

    def __str__(self) -> str:
        return self.address


class Preview(models.Model):
    """The picture of an attachment's first page, by the SHA-256 of the attachment's bytes: equal files share it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        READY = "ready", _("ready")
        NONE = "none", _("none")  # no picture can be made of it; `reason` says why

    digest = models.CharField(max_length=64, primary_key=True)
    # Where the bytes are: an attachment of this stored mail. This keeps nothing: when the mail goes, so may this.
    source = models.CharField(max_length=64)
    position = models.PositiveIntegerField()
    content_type = models.CharField(max_length=255)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=200, blank=True)
    raw_digest = models.CharField(max_length=64, blank=True, db_index=True)  # the small picture, then the large one
    small_length = models.PositiveIntegerField(default=0)
    asked_at = models.DateTimeField(default=timezone.now, db_index=True)
    claimed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "previews"

    def __str__(self) -> str:
        return f"preview of {self.digest[:12]}"
