"""The one way from an address to a message: through what the user may see."""

from __future__ import annotations

from django.http import Http404, HttpRequest

from mailbox.models import Message
from mailbox.permissions import Role, get_account
from mailbox.views.requests import of_accounts


def find_message(request: HttpRequest, pk: int, role: str = Role.VIEWER) -> Message:
    """The message, when the user may see its account (else Http404) and has the role (else PermissionDenied)."""
    found = Message.objects.filter(pk=pk).select_related("account__imap", "account__smtp")
    found = found.defer("attachments", "attached_text")  # long, and no page needs them
    message: Message | None = of_accounts(found, request).first()
    if message is None:
        raise Http404("No such message.")
    if role != Role.VIEWER:
        message.account = get_account(request.user, message.account_id, role)
    return message
