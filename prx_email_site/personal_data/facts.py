"""The facts about rows for decide(): whether a legal hold keeps them, whether their mail is sent or cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Message
from outbox.legal_holds import of_drafts, of_outbox
from outbox.models import Draft, OutboxMessage, SentCopy, SentLookup
from prx_email_site.personal_data.address import stands_in
from prx_email_site.personal_data.decisions import Facts

OVER = (OutboxMessage.Status.SENT, OutboxMessage.Status.CANCELLED)


def facts_of(rows: Sequence[Any], theirs: set[Any], address: str, legal_holds: LegalHolds) -> list[Facts]:
    """The facts about rows of one table, in their order. theirs: pks of rows with the address in `columns`."""
    if not rows:
        return []
    mails, messages = [_mail_of(row) for row in rows], [_message_of(row) for row in rows]
    held_mails, over = _held_mails(mails, legal_holds), _over(mails)
    held_messages = _held(Message, [pk for pk in messages if pk], legal_holds, legal_holds.of_messages())
    drafts = [row.pk for row in rows if isinstance(row, Draft)]
    held_drafts = _held(Draft, drafts, legal_holds, of_drafts(legal_holds)) if drafts else set()
    return [
        Facts(
            is_theirs=row.pk in theirs,
            is_held=mail in held_mails
            or message in held_messages
            or (isinstance(row, Draft) and row.pk in held_drafts)
            or getattr(row, "account_id", None) in legal_holds.accounts,
            is_over=mail is None or mail in over,
            has_key=bool(getattr(row, "idempotency_key", None)) and stands_in(address, row.idempotency_key),
            written_at=getattr(row, "updated_at", None),
        )
        for row, mail, message in zip(rows, mails, messages, strict=True)
    ]


def _mail_of(row: Any) -> int | None:
    """The pk of the outbox mail that the row is or belongs to, or None."""
    if isinstance(row, OutboxMessage):
        return row.pk
    return row.attempt.outbox_id if isinstance(row, SentLookup) else getattr(row, "outbox_id", None)


def _message_of(row: Any) -> int | None:
    """The pk of the received mail that the row is or belongs to, or None. In some tables `message_id` is a header."""
    if isinstance(row, Message):
        return row.pk
    refers = any(each.attname == "message_id" and each.is_relation for each in row._meta.concrete_fields)
    return row.message_id if refers else None


def _held(model: type[Any], keys: Sequence[int], legal_holds: LegalHolds, condition: Any) -> set[int]:
    if not keys or not legal_holds.is_any:
        return set()
    return set(model._base_manager.filter(condition, pk__in=keys).values_list("pk", flat=True))


def _held_mails(mails: Sequence[int | None], legal_holds: LegalHolds) -> set[int]:
    return _held(OutboxMessage, [pk for pk in mails if pk], legal_holds, of_outbox(legal_holds))


def _over(mails: Sequence[int | None]) -> set[int]:
    """The pks of mails that are sent or cancelled and whose copy in Sent is not waiting to be made."""
    keys = [pk for pk in mails if pk]
    if not keys:
        return set()
    copying = SentCopy.objects.filter(outbox__in=keys, state=SentCopy.State.WAITING).values("outbox")
    over = OutboxMessage.objects.filter(pk__in=keys, status__in=OVER).exclude(pk__in=copying)
    return set(over.values_list("pk", flat=True))
