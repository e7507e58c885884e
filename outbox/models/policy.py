"""Settings for all sending: the attachment policy and the switch that pauses it; and the mark of this installation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


def _default_types() -> list[str]:
    return list(settings.ATTACHMENT_ALLOWED_CONTENT_TYPES)


def _default_max_size() -> int:
    return int(settings.ATTACHMENT_MAX_SIZE_BYTES)


class Singleton(models.Model):
    """A table of one row, pk 1, which current() creates with the defaults."""

    class Meta:
        abstract = True

    @classmethod
    def current(cls) -> Any:
        """The row; it is made with the defaults if it is not there."""
        return cls._default_manager.get_or_create(pk=1)[0]


class AttachmentPolicy(Singleton):
    """Which files may be attached to outgoing mail. Its defaults are settings; an administrator edits it."""

    max_size_bytes = models.BigIntegerField(default=_default_max_size)
    allowed_content_types = models.JSONField(default=_default_types)
    updated_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, editable=False, related_name="+")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "attachment_policy"
        verbose_name_plural = _("attachment policy")
        constraints = [
            models.CheckConstraint(
                name="policy_max_size_positive",
                condition=Q(max_size_bytes__gt=0),
                violation_error_message=_("The maximum size must be greater than 0."),
            )
        ]

    def __str__(self) -> str:
        return gettext("attachment policy")

    def clean(self) -> None:
        """Check the types for the admin's form. Raises ValidationError if there is none, or one without a slash."""
        types = self.allowed_content_types
        if not types or not isinstance(types, list) or not all(isinstance(t, str) and "/" in t for t in types):
            raise ValidationError(
                {gettext("allowed_content_types"): gettext("Allow at least one type, each as in application/pdf.")}
            )


class SendingSwitch(Singleton):
    """Whether all sending of the installation is paused, since when, by whom and why."""

    paused_at = models.DateTimeField(null=True)
    paused_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "sending_switch"
        verbose_name = "sending switch"
        verbose_name_plural = "sending switch"

    def __str__(self) -> str:
        return "sending paused" if self.paused_at else "sending on"


class Installation(models.Model):
    """A mark by which outbox.restore_guard recognises a restored or copied database; one for each host and folder."""

    place = models.CharField(max_length=64, unique=True, db_default="")  # none: the one row of 0.1.0
    mark = models.CharField(max_length=32)
    generation = models.BigIntegerField(default=0)

    class Meta:
        db_table = "installation"
        verbose_name = "installation mark"
        verbose_name_plural = "installation mark"

    def __str__(self) -> str:
        return self.mark
