"""The one way from a URL to a message, with the check that the user may read it."""

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
    """The message. Its attribute `features` has the names of the features that its account has.

    Raises Http404 when the user may not see the account, PermissionDenied when the role is too low, FeatureOff (a
    PermissionDenied) when reading is off. `also`: further annotations, by name.
    """
    found = Message.objects.filter(pk=pk).select_related("account__imap", "account__smtp", "team_mark__assigned_to")
    found = found.annotate(**(also or {})).defer("attachments", "attached_text")  # long columns that no page needs
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
