"""Gmail's labels (X-GM-LABELS): what its folders really are. Kept with the place a message lies in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from django.db import connection
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from mailbox.models import Account, MessagePlace
from mailbox.models.messages import MessagePlaceQuerySet

# As Gmail names its own labels on a message, by what it says of their folders (RFC 6154).
_OWN = {
    "\\Drafts": "\\Draft",
    "\\Flagged": "\\Starred",
    "\\Important": "\\Important",
    "\\Sent": "\\Sent",
}


def label_of(name: str, special_use: str) -> str:
    """The label that a folder stands for."""
    return "\\Inbox" if name == "INBOX" else _OWN.get(special_use, name)


def shown(places: Iterable[MessagePlace]) -> list[str]:
    """The labels of a message as a person reads them, each once."""
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
