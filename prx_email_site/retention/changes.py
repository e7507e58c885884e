"""What administrators change about retention, by page or by token: with the entry of the activity, together."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from mailbox.models import LegalHold, RetentionRule
from mailbox.views.audit import record
from mailbox.views.requests import signed_in_user


class RemovedMeanwhile(Exception):
    """What a hold was to keep was removed at this instant."""


def set_rule(request: HttpRequest, rule: RetentionRule) -> None:
    """A new one, or other terms of one that is there, whose count goes on."""
    is_new = rule.pk is None
    rule.created_by = signed_in_user(request) if is_new else rule.created_by
    with transaction.atomic():
        rule.save(update_fields=None if is_new else RetentionRule.TERMS)
        record(request, "retention_add", f"retention:{rule.pk}", rule.account, detail=_in_english(rule))


def end_rule(request: HttpRequest, rule: RetentionRule) -> None:
    with transaction.atomic():
        record(request, "retention_end", f"retention:{rule.pk}", rule.account, detail=_in_english(rule))
        rule.delete()


def _in_english(rule: RetentionRule) -> str:
    """What the activity keeps is English, whoever's request it is."""
    size = f", larger than {rule.larger_than} bytes" if rule.larger_than else ""
    return f"{rule}{f', folder {rule.folder}' if rule.folder else ''}{size}"


def put_hold(request: HttpRequest, hold: LegalHold) -> None:
    """Raises Gone."""
    hold.created_by = signed_in_user(request)
    try:
        with transaction.atomic():
            hold.save()
            record(request, "hold_add", f"hold:{hold.pk}", hold.account, detail=hold.reason)
    except IntegrityError as error:
        raise RemovedMeanwhile from error


def release(request: HttpRequest, hold: LegalHold) -> bool:
    """False when it was released already."""
    released: dict[str, Any] = {"released_at": timezone.now(), "released_by": signed_in_user(request)}
    with transaction.atomic():
        done = LegalHold.objects.standing().filter(pk=hold.pk).update(**released)
        if done:
            record(request, "hold_release", f"hold:{hold.pk}", hold.account, detail=hold.reason)
    return bool(done)
