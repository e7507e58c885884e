"""Reads a provider's discovery document from the address that an administrator typed."""

from __future__ import annotations

from mailbox.errors import MailError
from mailbox.models import OAuthApp
from mailbox.oauth import client


def read(app: OAuthApp) -> bool:
    """Fetch and store the document; return whether it worked.

    After a failure the reason is stored, and a document that was read before stays.
    """
    rows = OAuthApp.objects.filter(pk=app.pk, discovery_url=app.discovery_url)
    try:
        document = client.discover(app.discovery_url)
    except MailError as error:
        rows.update(discovery_error=str(error)[:500])
        return False
    rows.update(document=document, discovery_error="")
    return True
