"""Adds written mail to the conversations that the mailbox shows."""

from __future__ import annotations

import re
from collections.abc import Collection

from django.db.models import Exists, OuterRef
from django.db.models.functions import Substr
from django.urls import reverse
from django.utils.translation import gettext

from mailbox.messages.conversations import ConversationMessage
from outbox.models import DeliveryReport, OutboxMessage

SHOWN = 50
TEXT_CHARACTERS = 1_500
_OURS = re.compile(r"outbox-([0-9]{1,18})-[0-9]+@")  # SPEC: the Message-ID of an attempt names its row


def pieces(account_id: int, pks: Collection[int], message_ids: Collection[str]) -> list[ConversationMessage]:
    """The written mails that reply to messages of `pks`, that a report among these is about, or whose Message-ID is in
    `message_ids`, newest first."""
    named = {int(found[1]) for each in message_ids if (found := _OURS.match(each))}
    # A union rather than an OR, so that each half uses its own index; the account is checked on the few rows found.
    answers = OutboxMessage.objects.filter(parent__in=pks).values("pk")
    reported = DeliveryReport.objects.filter(message__in=pks).order_by().values("outbox")
    named_rows = OutboxMessage.objects.filter(pk__in=named).values("pk")
    rows = OutboxMessage.objects.filter(pk__in=answers.union(reported, named_rows))
    listed = rows.select_related("account").defer("body_text", "body_html")
    listed = listed.annotate(
        beginning=Substr("body_text", 1, TEXT_CHARACTERS),
        is_reported=Exists(DeliveryReport.objects.filter(outbox=OuterRef("pk"), message__in=pks)),
    ).order_by("-pk")[:SHOWN]
    return [_piece(row) for row in listed if row.account_id == account_id and _belongs(row, pks, message_ids)]


def _belongs(row: OutboxMessage, pks: Collection[int], message_ids: Collection[str]) -> bool:
    """Whether a row is a reply, is reported on or referred to by its exact Message-ID, whose pk alone can be forged."""
    if row.is_reported:  # type: ignore[attr-defined]
        return True
    own = (row.provider_message_id or "").strip("<> ")
    return row.parent_id in pks or (bool(own) and own in message_ids)


def _piece(row: OutboxMessage) -> ConversationMessage:
    return ConversationMessage(
        at=row.sent_at or row.created_at,
        sender=gettext("%(account)s to %(recipients)s") % {"account": row.account.email, "recipients": row.to},
        subject=row.subject,
        text=row.beginning,  # type: ignore[attr-defined]
        address=reverse("outbox:detail", args=[row.pk]),
        is_sent=True,
        outbox_pk=row.pk,
        state="" if row.status == "sent" else row.get_status_display(),
        message_id=(row.provider_message_id or "").strip("<> "),
    )
