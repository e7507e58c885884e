"""Team marks: notes of this site's users about a message, for each other. Never written to the mail server."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.models.messages import Message

if TYPE_CHECKING:
    from django.contrib.auth.models import User

NOTE_LIMIT = 2_000  # characters


class TeamMark(models.Model):
    """A message's assignee, whether it is done, and a note. One row per message, created when first needed."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="team_mark")
    assigned_to = models.ForeignKey("auth.User", models.SET_NULL, null=True, blank=True, related_name="+")
    note = models.TextField(blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    changed_by = models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+", db_index=False)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "team_marks"
        indexes = [models.Index(fields=["done_at"], name="team_mark_done", condition=Q(done_at__isnull=False))]

    def __str__(self) -> str:
        return f"marks of message {self.message_id}"

    @classmethod
    def change(cls, message: Message, by: User, *, only_if: Q | None = None, **values: object) -> bool:
        """Set values, on condition of `only_if` in the same UPDATE. Returns False if the condition did not hold."""
        TeamMark.objects.bulk_create([TeamMark(message=message, changed_by=by)], ignore_conflicts=True)
        rows = cls.objects.filter(only_if or Q(), pk=message.pk)
        return rows.update(**values, changed_by=by, changed_at=timezone.now()) == 1


class MessageViewing(models.Model):
    """A user has opened a message's page."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="viewings", db_index=False)
    user = models.ForeignKey("auth.User", models.CASCADE, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "message_viewings"
        constraints = [models.UniqueConstraint(fields=["message", "user"], name="message_viewing_unique")]

    def __str__(self) -> str:
        return f"message {self.message_id} seen by user {self.user_id}"

    @classmethod
    def note(cls, message: Message, user: User, at: datetime) -> None:
        """Record that this user opened the message; the first time is kept."""
        MessageViewing.objects.bulk_create([MessageViewing(message=message, user=user, at=at)], ignore_conflicts=True)


class TeamFilter(models.TextChoices):
    """A filter of lists by team marks; its value stands in the URL."""

    MINE = "mine", _("Assigned to me")
    ASSIGNED = "assigned", _("Assigned to somebody")
    OPEN = "open", _("Not done")
    DONE = "done", _("Done")
    NOTE = "note", _("With a note")
    UNOPENED = "unopened", _("Opened by nobody here")


TEAM_FILTERS = dict(TeamFilter.choices)


def team_filter(name: str, user: User, message: str = "pk") -> Q:
    """The condition of a filter. message: the lookup of the message's pk in the filtered rows."""
    if name == "unopened":
        return ~Q(Exists(MessageViewing.objects.filter(message=OuterRef(message))))
    if name == "open":
        return ~Q(Exists(TeamMark.objects.filter(message=OuterRef(message), done_at__isnull=False)))
    marks = {
        "mine": Q(assigned_to=user, done_at=None),
        "assigned": Q(assigned_to__isnull=False, done_at=None),
        "done": Q(done_at__isnull=False),
        "note": Q(note__gt=""),
    }
    return Q(**{f"{message}__in": TeamMark.objects.filter(marks[name]).values("message")})
