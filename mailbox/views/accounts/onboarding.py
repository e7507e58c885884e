"""Whether an account is still being set up: its pages then lead to the next step."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from mailbox.models import Account, AuditEntry

NEW_FOR = timedelta(days=1)


def is_being_set_up(account: Account) -> bool:
    """Whether the account is new and nobody has chosen its folders yet."""
    if timezone.now() - account.created_at > NEW_FOR:
        return False
    return not AuditEntry.objects.filter(account=account, verb="choose_folders").exists()
