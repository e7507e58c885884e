"""Looking for a person by address in everything that is stored, and erasing what is found."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class PersonSearchQuerySet(models.QuerySet["PersonSearch"]):
    def at_work(self) -> PersonSearchQuerySet:
        """What workers are to go on with."""
        return self.filter(state__in=[PersonSearch.State.COUNTING, PersonSearch.State.ERASING])


class PersonSearch(models.Model):
    """One address, looked for table by table; then, when somebody confirms it, erased likewise. `table` and `after`
    move in the transaction that changes rows, so that a worker may be killed and each row is counted once.

    The address itself goes when it is erased, or a day after it was looked for; `digest` stays."""

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
    steps = models.PositiveIntegerField(default=0)  # goes up with each batch: of two workers one is too late
    table = models.PositiveSmallIntegerField(default=0)  # index of the one that is next
    after = models.JSONField(null=True)  # its key up to which rows are dealt with
    found = models.JSONField(default=dict)  # table -> what is, or was, to be done -> how many
    named = models.JSONField(default=dict)  # table -> why it stays -> keys of rows, the first ones
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
