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


class SavedFilters(models.Model):
    """Filters of lists that somebody gave a name: one row a user and one that all share, so that a page gets them in
    the query it asks about its user anyhow."""

    SHARED = "shared"
    AT_MOST = 50  # of a row

    key = models.CharField(max_length=30, primary_key=True)  # "user:5", or SHARED
    filters = models.JSONField(default=list)  # {"page", "name", "query", "by": the key of the user who saved it}

    class Meta:
        db_table = "saved_filters"
        verbose_name_plural = "saved filters"

    def __str__(self) -> str:
        return f"filters of {self.key}"

    @staticmethod
    def key_of(user_pk: int | None) -> str:
        return f"user:{user_pk}"
