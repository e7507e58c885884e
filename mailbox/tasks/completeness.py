"""django-q2's entry points of the comparison with servers. Each may run twice, or be killed any time."""

from __future__ import annotations

import logging

from django.utils import timezone

from mailbox.completeness import schedule, walk
from mailbox.errors import MailError
from mailbox.logs import event, provider_words
from mailbox.models import Account
from mailbox.queueing import queue
from mailbox.tasks.sync import may_fetch

logger = logging.getLogger(__name__)
SLICE_SECONDS = 40.0


def queue_comparison(account_id: int) -> None:
    """Compare the account's folders, once the present transaction has committed. The row remembers it."""
    schedule.ask_now(account_id, timezone.now())
    queue("mailbox.tasks.compare_account", account_id, group="completeness")


def compare_due() -> None:
    """Each few minutes: compare the account whose turn it is, and leave the next one to the next task. One at a time,
    so that the nights' work never holds more than one worker."""
    now = timezone.now()
    if may_fetch() and (account_id := schedule.next_account(now)) is not None:
        _go_on(account_id)
        queue("mailbox.tasks.compare_due", group="completeness")


def compare_account(account_id: int) -> None:
    """As a person asked."""
    if may_fetch() and Account.objects.syncing().filter(pk=account_id).exists() and not _go_on(account_id):
        queue("mailbox.tasks.compare_account", account_id, group="completeness")


def _go_on(account_id: int) -> bool:
    """Whether nothing is left to do now."""
    try:
        return walk.go_on(account_id, seconds=SLICE_SECONDS)
    except Account.DoesNotExist:
        return True
    except MailError as error:
        event(logger, "comparison_failed", logging.WARNING, account=account_id, reply=provider_words(str(error)))
        return True
