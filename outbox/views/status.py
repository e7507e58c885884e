"""The states of the outbox as a person sees them: tabs with tone and icon. No queries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words
from outbox.models import OutboxMessage

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
_UNKNOWN_USER = re.compile(r"\b5\.1\.[1236]\b")  # RFC 3463: bad mailbox, bad system, bad syntax, moved


@dataclass(frozen=True)
class OutboxTab:
    """A state on the outbox page. `name`: the value in the URL, and the name of the QuerySet's method."""

    name: str
    label: Words
    tone: str
    icon: str
    empty: Words
    is_final: bool = False  # rows stay in it for ever, so it is not counted exactly


TABS = (
    OutboxTab(
        "queued",
        _("Queued"),
        "waiting",
        "clock",
        _("Mail that waits for its first attempt is listed here, for a moment."),
    ),
    OutboxTab("sending", _("Sending"), "waiting", "paper-airplane", _("Mail that a worker is handing over right now.")),
    OutboxTab(
        "retrying", _("Retrying"), "waiting", "arrow-path", _("Mail a server put off; it is tried again by itself.")
    ),
    OutboxTab(
        "needs_decision",
        _("Needs a decision"),
        "needs",
        "question-mark-circle",
        _("Mail that may or may not have gone out, because the connection broke at the last moment."),
    ),
    OutboxTab(
        "failed_for_good", _("Failed"), "broken", "x-circle", _("Mail that a server refused for good, or not in time.")
    ),
    OutboxTab("sent", _("Sent"), "fine", "check-circle", _("Mail that a server has accepted."), is_final=True),
    OutboxTab(
        "cancelled", _("Cancelled"), "waiting", "no-symbol", _("Mail that somebody took back in time."), is_final=True
    ),
)
TAB_BY_NAME = {tab.name: tab for tab in TABS}


def tab_of(row: OutboxMessage) -> OutboxTab:
    """The tab in which the row is listed, by status and hold."""
    by_status = {
        Status.PENDING.value: "queued",
        Status.SENDING.value: "sending",
        Status.SENT.value: "sent",
        Status.CANCELLED.value: "cancelled",
    }
    if row.status in by_status:
        return TAB_BY_NAME[by_status[row.status]]
    if row.hold == Hold.UNCERTAIN:
        return TAB_BY_NAME["needs_decision"]
    return TAB_BY_NAME["failed_for_good" if row.hold else "retrying"]


def is_scheduled(row: OutboxMessage, now: datetime) -> bool:
    """Whether the row waits for a time that a person chose."""
    return bool(row.status == Status.PENDING and row.send_at and row.send_at > now)


def may_be_undone(row: OutboxMessage, now: datetime) -> bool:
    """Whether the row is within its undo window."""
    return bool(row.status == Status.PENDING and row.undo_until and row.undo_until > now)


def is_unknown_user(words: str) -> bool:
    """Whether a server's reply, or its codes, says that the address is wrong."""
    return bool(_UNKNOWN_USER.search(words))


def first_line(text: str) -> str:
    """The first line of a text, stripped: of an error, the server's reply without what we add."""
    return text.strip().partition("\n")[0].strip()
