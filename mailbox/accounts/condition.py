"""The dataclass of one statement about an account's health."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class AccountNotice:
    """One statement about an account's health. `remedy` names its button: templates/mailbox/accounts/_remedy.html."""

    tone: str  # "fine", "waiting", "needs", "broken"
    label: str
    sentence: str
    reply: str = ""
    advice: str = ""
    remedy: str = ""
    since: datetime | None = None
    until: datetime | None = None
    # For code such as alerts: "sync_fails", "behind", "folder_stopped", "deletion_stopped", "over_quota"...
    kind: str = ""
