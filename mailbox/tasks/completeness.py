"""The tasks that compare stored mail with servers. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

import logging

from django.utils import timezone

from mailbox.completeness import comparison_times, walk
from mailbox.errors import MailError
from mailbox.logs import event, provider_words
from mailbox.models import Account
from mailbox.queueing import queue
from mailbox.tasks.sync import may_fetch

logger = logging.getLogger(__name__)
SLICE_SECONDS = 40.0


def queue_comparison(account_id: int) -> None:
    """Queue the account's comparison, once the current transaction has committed. The account is also made due, so that
    compare_due does it if the task is lost."""
    comparison_times.ask_now(account_id, timezone.now())
    queue("mailbox.tasks.compare_account", account_id, group="completeness")


def compare_due() -> None:
    """Every few minutes: go on with one due account for a while, and queue this task again for the rest.

    One account at a time, so that the nightly comparisons never occupy more than one worker.
    """
    now = timezone.now()
    if may_fetch() and (account_id := comparison_times.next_account(now)) is not None:
        _go_on(account_id)
        queue("mailbox.tasks.compare_due", group="completeness")


def compare_account(account_id: int) -> None:
    """Compare one account, as a person asked: for a while, then this task is queued again for the rest."""
    if may_fetch() and Account.objects.syncing().filter(pk=account_id).exists() and not _go_on(account_id):
        queue("mailbox.tasks.compare_account", account_id, group="completeness")


def _go_on(account_id: int) -> bool:
    """Go on with the account's comparison; return whether there is nothing more to do now."""
    try:
        return walk.go_on(account_id, seconds=SLICE_SECONDS)
    except Account.DoesNotExist:
        return True
    except MailError as error:
        event(logger, "comparison_failed", logging.WARNING, account=account_id, reply=provider_words(str(error)))
        return True
