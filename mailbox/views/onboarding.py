"""Whether an account is still being added: its pages then lead on to the next step instead of back."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from mailbox.models import Account, AuditEntry

NEW_FOR = timedelta(days=1)


def is_being_set_up(account: Account) -> bool:
    """New, and nobody has looked through its folders yet."""
    if timezone.now() - account.created_at > NEW_FOR:
        return False
    return not AuditEntry.objects.filter(account=account, verb="choose_folders").exists()
