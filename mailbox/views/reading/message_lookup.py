"""The one way from an address to a message: through what the user may see."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models.expressions import BaseExpression
from django.http import Http404, HttpRequest

from mailbox import features
from mailbox.models import Feature, Message
from mailbox.permissions import Role, get_account
from mailbox.views.requests import of_accounts


def find_message(
    request: HttpRequest, pk: int, role: str = Role.VIEWER, also: Mapping[str, BaseExpression] | None = None
) -> Message:
    """The message, when the user may see its account (else Http404), has the role (else PermissionDenied) and it may be
    read (else FeatureOff, which is one). `features`: the names of those that its account has.

    `also`: what a page wants to know besides, in the same query; it becomes attributes of the message.
    """
    found = Message.objects.filter(pk=pk).select_related("account__imap", "account__smtp", "team_mark__assigned_to")
    found = found.annotate(**(also or {})).defer("attachments", "attached_text")  # long, and no page needs them
    message: Message | None = of_accounts(found, request).first()
    if message is None:
        raise Http404("No such message.")
    known = features.Rollouts.known_to(request.user)
    message.features = known.has(message.account_id)  # type: ignore[attr-defined]
    if Feature.INBOX_READ not in message.features:  # type: ignore[attr-defined]
        raise features.refused(Feature.INBOX_READ, message.account)
    if role != Role.VIEWER:
        message.account = get_account(request.user, message.account_id, role)
    return message
