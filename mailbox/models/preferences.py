"""A user's own settings."""

from __future__ import annotations

from django.db import models


class UserPreference(models.Model):
    """A user's time zone (empty, or no row: the site's) and language (empty, or no row: the browser's)."""

    user = models.OneToOneField("auth.User", models.CASCADE, primary_key=True, related_name="preference")
    time_zone = models.CharField(max_length=64, blank=True)  # a name of the tz database, "Europe/Vienna"
    language = models.CharField(max_length=16, blank=True, default="")  # a language code of settings.LANGUAGES, "pt-br"

    class Meta:
        db_table = "user_preferences"

    def __str__(self) -> str:
        return f"preferences of user {self.user_id}"


class SavedFilters(models.Model):
    """Named filters of lists: one row per user, and one shared by all users.

    One row holds all filters of a user, so that a page loads them in a query that it makes anyway.
    """

    SHARED = "shared"
    AT_MOST = 50  # filters in one row

    key = models.CharField(max_length=30, primary_key=True)  # "user:5", or SHARED
    filters = models.JSONField(default=list)  # {"page", "name", "query", "by": pk of the user who saved it}

    class Meta:
        db_table = "saved_filters"
        verbose_name_plural = "saved filters"

    def __str__(self) -> str:
        return f"filters of {self.key}"

    @staticmethod
    def key_of(user_pk: int | None) -> str:
        """The key of the user's row; for None (nobody is signed in) a key that no row has."""
        return f"user:{user_pk}"
