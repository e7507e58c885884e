"""Reading the discovery document of a provider whose address an administrator typed."""

from __future__ import annotations

from mailbox.errors import MailError
from mailbox.models import OAuthApp
from mailbox.oauth import client


def read(app: OAuthApp) -> bool:
    """Keep what the document says, or why it could not be read; a document that was read before stays."""
    rows = OAuthApp.objects.filter(pk=app.pk, discovery_url=app.discovery_url)
    try:
        document = client.discover(app.discovery_url)
    except MailError as error:
        rows.update(discovery_error=str(error)[:500])
        return False
    rows.update(document=document, discovery_error="")
    return True
