"""What a user has chosen for the own pages."""

from __future__ import annotations

from django.db import models


class UserPreference(models.Model):
    """No row, or an empty time zone, means the site's own; an empty language the browser's."""

    user = models.OneToOneField("auth.User", models.CASCADE, primary_key=True, related_name="preference")
    time_zone = models.CharField(max_length=64, blank=True)  # a name of the tz database, "Europe/Vienna"
    language = models.CharField(max_length=16, blank=True, default="")  # a language code of settings.LANGUAGES, "pt-br"

    class Meta:
        db_table = "user_preferences"

    def __str__(self) -> str:
        return f"preferences of user {self.user_id}"
