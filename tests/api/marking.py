"""Puts a word that stands nowhere else into all that is stored of one account, to look for it in answers to others."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import CharField, ForeignKey, Model, OneToOneField, TextField

from alerts.models import Event
from mailbox.models import Account, Attachment, Message, Quarantine, Transport
from outbox.models import OutboxAttachment, OutboxMessage
from prx_email_site.personal_data.tables import TABLES

# Texts that a person's erasure need not search (personal_data.tables), but that answers show.
FURTHER = {
    "mailbox.Attachment": ("filename",),
    "mailbox.SyncRunFolder": ("folder_name",),
    "outbox.OutboxAttachment": ("filename",),
    "outbox.DraftFile": ("filename",),
    "outbox.SuppressedAddress": ("words",),
}
# What a mail says. Without "to", as whoever corrects addresses is told them.
CONTENT: dict[type[Model], tuple[str, ...]] = {
    Message: ("subject", "sender", "recipients", "snippet", "body_text", "body_html"),
    Quarantine: ("subject", "sender"),
    OutboxMessage: ("subject", "body_text", "body_html"),
    Attachment: ("filename",),
    OutboxAttachment: ("filename",),
}
SHORTEST = 60  # characters: shorter columns have codes


def mark(account: Account, word: str) -> set[str]:
    """Put `word` into the texts of all rows of the account. Returns the labels of the tables that had such rows."""
    columns = {table.label: {*table.columns, *table.mentions} for table in TABLES}
    for label, names in FURTHER.items():
        columns.setdefault(label, set()).update(names)
    found = set()
    for label, names in columns.items():
        model: type[Model] = apps.get_model(label)
        path = _path(model)
        rows = model._default_manager.filter(**{path: account.pk}) if path else model._default_manager.none()
        if model is Transport:
            rows = model._default_manager.filter(pk__in=[account.imap_id, account.smtp_id])
        texts = [name for name in names if _is_text(model._meta.get_field(name))]
        for pk in list(rows.values_list("pk", flat=True)):
            # An address, so that it may stand where one is read, and another one in each row.
            model._default_manager.filter(pk=pk).update(**dict.fromkeys(texts, f"{word}-{pk}@example.com"))
            found.add(label)
    Event.objects.filter(account=account).update(detail={"sentence": word})
    return found


def mark_content(word: str) -> None:
    """Put `word` into what the mails of all accounts say."""
    for model, columns in CONTENT.items():
        if not model._default_manager.update(**dict.fromkeys(columns, word)):
            raise AssertionError(f"there is no {model.__name__} to be marked")


def _is_text(field: Any) -> bool:
    is_short = field.max_length is not None and field.max_length < SHORTEST
    return isinstance(field, CharField | TextField) and not is_short and not field.choices


def _path(model: type[Model], depth: int = 3) -> str:
    """The look-up from a row of this table to its account's key; empty if there is none."""
    if model is Account:
        return "pk"
    keys = [field for field in model._meta.concrete_fields if isinstance(field, ForeignKey | OneToOneField)]
    for key in sorted(keys, key=lambda key: key.related_model is not Account):
        related: Any = key.related_model
        if related is Account:
            return key.name
        further = _path(related, depth - 1) if depth else ""
        if further:
            return f"{key.name}__{further}"
    return ""
