"""Look-ups of mail settings: a row is created on request, filled by a worker, and shown on a page."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class SettingsLookup(models.Model):
    """A look-up of the servers for an address that a user entered. Visible to this user only; removed after a day."""

    asked_by = models.ForeignKey("auth.User", models.CASCADE, related_name="+")
    email = models.EmailField(max_length=254)
    asked_at = models.DateTimeField(default=timezone.now, db_index=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    found = models.JSONField(default=dict)  # by autoconfig.servers.to_json

    class Meta:
        db_table = "settings_lookups"
        ordering = ["-pk"]
        verbose_name = "look-up of settings"
        verbose_name_plural = "look-ups of settings"

    def __str__(self) -> str:
        return f"look-up {self.pk} for {self.email}"
