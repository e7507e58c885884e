"""Changes of retention rules and legal holds, from the page or the API; each commits together with its audit entry."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from mailbox.models import LegalHold, RetentionRule
from mailbox.views.activity.audit import record
from mailbox.views.requests import signed_in_user


class RemovedMeanwhile(Exception):
    """The account or message of a new hold was removed meanwhile."""


def set_rule(request: HttpRequest, rule: RetentionRule) -> None:
    """Save a new rule, or new terms of a saved one, which keeps its counts."""
    is_new = rule.pk is None
    rule.created_by = signed_in_user(request) if is_new else rule.created_by
    with transaction.atomic():
        rule.save(update_fields=None if is_new else RetentionRule.TERMS)
        record(request, "retention_add", f"retention:{rule.pk}", rule.account, detail=_in_english(rule))


def end_rule(request: HttpRequest, rule: RetentionRule) -> None:
    """Delete a rule and record it. A removal that is running ends with its present batch."""
    with transaction.atomic():
        record(request, "retention_end", f"retention:{rule.pk}", rule.account, detail=_in_english(rule))
        rule.delete()


def _in_english(rule: RetentionRule) -> str:
    """The rule's terms for the activity, which stores English whatever the user's language."""
    size = f", larger than {rule.larger_than} bytes" if rule.larger_than else ""
    return f"{rule}{f', folder {rule.folder}' if rule.folder else ''}{size}"


def put_hold(request: HttpRequest, hold: LegalHold) -> None:
    """Save a new legal hold. Raises RemovedMeanwhile."""
    hold.created_by = signed_in_user(request)
    try:
        with transaction.atomic():
            hold.save()
            record(request, "hold_add", f"hold:{hold.pk}", hold.account, detail=hold.reason)
    except IntegrityError as error:
        raise RemovedMeanwhile from error


def release(request: HttpRequest, hold: LegalHold) -> bool:
    """Release a legal hold; returns False if it was released already."""
    released: dict[str, Any] = {"released_at": timezone.now(), "released_by": signed_in_user(request)}
    with transaction.atomic():
        done = LegalHold.objects.standing().filter(pk=hold.pk).update(**released)
        if done:
            record(request, "hold_release", f"hold:{hold.pk}", hold.account, detail=hold.reason)
    return bool(done)
