"""One thing to say of an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class AccountNotice:
    """One thing to say of an account. `remedy` names the button: see templates/mailbox/accounts/_remedy.html."""

    tone: str  # "fine", "waiting", "needs", "broken"
    label: str
    sentence: str
    reply: str = ""
    advice: str = ""
    remedy: str = ""
    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""  # what other code knows it by: "sync_fails", "behind", "folder_stopped", "over_quota"
