"""Gmail's labels (X-GM-LABELS), which IMAP shows as folders. They are stored with the place of a message."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from django.db import connection
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from mailbox.models import Account, MessagePlace
from mailbox.models.messages import MessagePlaceQuerySet

# Special use of a folder (RFC 6154) -> the name of Gmail's own label on a message.
_OWN = {
    "\\Drafts": "\\Draft",
    "\\Flagged": "\\Starred",
    "\\Important": "\\Important",
    "\\Sent": "\\Sent",
}


def label_of(name: str, special_use: str) -> str:
    """The label that a folder shows. `special_use`: as in RFC 6154, such as "\\Sent", or ""."""
    return "\\Inbox" if name == "INBOX" else _OWN.get(special_use, name)


def shown(places: Iterable[MessagePlace]) -> list[str]:
    """The labels of a message for a page, each once."""
    return sorted({label.lstrip("\\") for place in places for label in place.labels or ()}, key=str.casefold)


def in_or_carrying(folders: Sequence[int], labels: Sequence[str], accounts: Iterable[Account]) -> MessagePlaceQuerySet:
    """Places in these folders, or with one of these labels in any folder of the accounts.

    Labels are compared with the stored text, where each stands in quotes: SQLite knows no "contains" for JSON.
    """
    places = MessagePlace.objects.present()
    if not labels:
        return places.filter(folder__in=folders)
    condition = Q(folder__in=folders)
    for label in labels:
        written = json.dumps(label, ensure_ascii=connection.vendor != "postgresql")
        condition |= Q(labels_text__contains=written)
    return places.annotate(labels_text=Cast("labels", TextField())).filter(condition, folder__account__in=accounts)
