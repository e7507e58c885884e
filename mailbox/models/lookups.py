"""One look-up of mail settings: a row that a person asks for, a worker fills and a page reads."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class SettingsLookup(models.Model):
    """Somebody typed an address and wants the servers found. Theirs alone, and forgotten after a day."""

    asked_by = models.ForeignKey("auth.User", models.CASCADE, related_name="+")
    email = models.EmailField(max_length=254)
    asked_at = models.DateTimeField(default=timezone.now, db_index=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    found = models.JSONField(default=dict)  # see discovered.to_json

    class Meta:
        db_table = "settings_lookups"
        ordering = ["-pk"]
        verbose_name = "look-up of settings"
        verbose_name_plural = "look-ups of settings"

    def __str__(self) -> str:
        return f"look-up {self.pk} for {self.email}"
