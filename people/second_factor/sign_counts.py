"""Checks a passkey's signature counter: a value that does not grow means a copy (W3C WebAuthn, 7.2, step 22; 6.1.1)."""

from __future__ import annotations

import logging

from allauth.mfa.models import Authenticator
from django.db import transaction

from mailbox.logs import event

logger = logging.getLogger(__name__)


def claim(authenticator: Authenticator, count: int) -> bool:
    """Store the counter if it is higher than the last one; return whether it was. Passkeys without a counter have 0,
    which is accepted while no other value was seen."""
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        last = row.data.get("sign_count", row.wrap().authenticator_data.counter)
        if (count or last) and count <= last:
            event(logger, "passkey_counts_back", logging.WARNING, user=row.user_id, authenticator=row.pk)
            return False
        authenticator.data = row.data = {**row.data, "sign_count": count}
        row.save(update_fields=["data"])
    return True
