"""What `check --deploy` says of the outbox."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning


def message_id_domain(**_: Any) -> list[CheckMessage]:
    """Two installations with one domain would make the same Message-IDs, and one mail would hide the other."""
    if settings.MESSAGE_ID_DOMAIN != settings.DEFAULT_MESSAGE_ID_DOMAIN:
        return []
    return [
        Warning(
            f"Message-IDs end in the default domain, {settings.DEFAULT_MESSAGE_ID_DOMAIN}.",
            hint="Set PRX_EMAIL_MESSAGE_ID_DOMAIN to a domain of your own.",
            id="outbox.W001",
        )
    ]
