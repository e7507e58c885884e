"""Images that are fetched or made on request: remote images of messages, previews of attachments.

All can be fetched or made again. Their bytes are in the raw store, which keeps the bytes to which a `raw_digest`
refers.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models.messages import Message


class ImageFetch(models.Model):
    """A user's request for the remote images of a message. A worker fetches them once."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="image_fetch")
    asked_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now, db_index=True)
    claimed_at = models.DateTimeField(null=True)  # when a worker began, which may have died since
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "image_fetches"
        verbose_name_plural = _("image fetches")

    def __str__(self) -> str:
        return f"images of message {self.message_id}"


class RemoteImage(models.Model):
    """The result of fetching one URL: an image in the raw store, or the reason why there is none."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="remote_images")
    address_digest = models.CharField(max_length=64)  # SHA-256 of the URL
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
    """A sender whose remote images are always displayed to a user."""

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
    """An image of an attachment's first page, by the SHA-256 of the attachment's bytes: equal files share one."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        READY = "ready", _("ready")
        NONE = "none", _("none")  # no image can be made; see `reason`

    digest = models.CharField(max_length=64, primary_key=True)
    # Raw digest and position of an attachment with the bytes. No reference, so it does not keep the mail's raw bytes.
    source = models.CharField(max_length=64)
    position = models.PositiveIntegerField()
    content_type = models.CharField(max_length=255)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=200, blank=True)
    raw_digest = models.CharField(max_length=64, blank=True, db_index=True)  # the small image, then the large one
    small_length = models.PositiveIntegerField(default=0)
    asked_at = models.DateTimeField(default=timezone.now, db_index=True)
    claimed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "previews"

    def __str__(self) -> str:
        return f"preview of {self.digest[:12]}"
