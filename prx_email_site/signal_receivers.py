"""Receivers of mailbox's signals, which pass events and questions on to outbox and alerts: mailbox imports neither."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from mailbox.accounts.outbox_figures import OutboxFigures
    from mailbox.messages.conversations import ConversationMessage
    from outbox.models.messages import OutboxQuerySet


def credentials_changed(account_id: int, **_: Any) -> None:
    """Deliver mail that waited for a sign-in, and sync the account at once."""
    from mailbox.models import Account
    from mailbox.tasks import sync as sync_tasks
    from outbox.tasks import delivery as delivery_tasks

    delivery_tasks.queue_sign_in_recovered(account_id)
    account = Account.objects.syncing().filter(pk=account_id).first()
    if account and account.folders_listed_at is None:  # its folders could not be listed before
        sync_tasks.queue_folder_listing(account_id)
    if account:
        sync_tasks.queue_sync(account_id, None)


def messages_stored(account_id: int, pks: list[int], **_: Any) -> None:
    """Queue those that may be delivery reports, and events for programs."""
    from alerts import tasks as alerts_tasks
    from outbox.tasks import sent_folder as sent_folder_tasks

    sent_folder_tasks.queue_reports(pks)
    alerts_tasks.queue_events()


def delivery_ended(**_: Any) -> None:
    """Queue events for programs at once, rather than wait for the schedule."""
    from alerts import tasks as alerts_tasks

    alerts_tasks.queue_events()


def connection_test_asked(test_id: int, **_: Any) -> None:
    """Queue a connection test."""
    from outbox.tasks import delivery as delivery_tasks

    delivery_tasks.queue_connection_test(test_id)


def waiting_mail_asked(account_ids: Collection[int], **_: Any) -> dict[int, int]:
    """Account pk -> number of rows that wait for workers; accounts without any are left out."""
    from django.db.models import Count

    from outbox.models import OutboxMessage

    waiting = OutboxMessage.objects.waiting_of_accounts().filter(account__in=account_ids).order_by()
    return dict(waiting.values_list("account").annotate(Count("pk")))


def outbox_rows_asked(**_: Any) -> OutboxQuerySet:
    """All rows of the outbox."""
    from outbox.models import OutboxMessage

    return OutboxMessage.objects.order_by()


def conversation_asked(
    account_id: int, pks: Collection[int], message_ids: Collection[str], **_: Any
) -> list[ConversationMessage]:
    """The written mail of a conversation, to be shown among the received messages."""
    from outbox.views.mail.conversation import pieces

    return pieces(account_id, pks, message_ids)


def outbox_figures_asked(
    account_ids: Collection[int], midnight: datetime, is_list: bool, **_: Any
) -> dict[int, OutboxFigures]:
    """Account pk -> its figures of the outbox: see outbox.views.account_figures."""
    from outbox.views.account_figures import figures

    return figures(account_ids, midnight, is_list=is_list)
