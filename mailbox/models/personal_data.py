"""Searches for a person's data by address in all tables, and their erasure."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class PersonSearchQuerySet(models.QuerySet["PersonSearch"]):
    """States of searches for a person, as conditions of a query."""

    def at_work(self) -> PersonSearchQuerySet:
        """Searches and erasures that workers must continue."""
        return self.filter(state__in=[PersonSearch.State.COUNTING, PersonSearch.State.ERASING])


class PersonSearch(models.Model):
    """A search for one address, table by table; after a confirmation, its erasure table by table.

    `table` and `after` change in the transaction that changes rows, so that each row is counted once even if a worker
    is killed. The address itself is deleted after the erasure, or a day after the search; `digest` is kept.
    """

    class State(models.TextChoices):
        COUNTING = "counting", _("being looked for")
        COUNTED = "counted", _("looked for")
        ERASING = "erasing", _("being erased")
        ERASED = "erased", _("erased")
        REFUSED = "refused", _("refused")

    key = models.UUIDField(default=uuid.uuid4, unique=True)
    user = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+")
    address = models.CharField(max_length=320, blank=True)  # lower case
    digest = models.CharField(max_length=16)  # an HMAC of the address: see personal_data.address
    mentions = models.BooleanField(default=False)  # erase also mail of others that only mentions the address
    state = models.CharField(max_length=8, choices=State, default=State.COUNTING)
    asked_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    moved_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    steps = models.PositiveIntegerField(default=0)  # increases with each batch; of two workers one fails on it
    table = models.PositiveSmallIntegerField(default=0)  # index of the next table
    after = models.JSONField(null=True)  # key in that table up to which rows are done
    found = models.JSONField(default=dict)  # table -> action to be taken, or taken -> number of rows
    named = models.JSONField(default=dict)  # table -> reason why rows are kept -> keys of the first ones
    document = models.JSONField(default=dict)  # the signed report
    error = models.TextField(blank=True)

    objects = PersonSearchQuerySet.as_manager()

    class Meta:
        db_table = "person_searches"
        ordering = ["-pk"]
        verbose_name = "search for a person"
        verbose_name_plural = "searches for persons"
        indexes = [
            models.Index(
                fields=["moved_at"], name="person_search_at_work", condition=Q(state__in=["counting", "erasing"])
            )
        ]

    def __str__(self) -> str:
        return f"person {self.digest}"
