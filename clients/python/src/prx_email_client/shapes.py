"""What the API answers, and a mail that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    id: int
    email: str
    display_name: str
    sends_mail: bool


@dataclass(frozen=True)
class SendState:
    """How a mail stands: "pending", "sending", "sent", "failed" or "cancelled". `next_attempt_at` is RFC 3339."""

    outbox_id: int
    status: str
    retries: int
    provider_message_id: str | None
    next_attempt_at: str | None


@dataclass(frozen=True)
class MessageHead:
    """A received message as lists have it. Times are RFC 3339, sizes bytes."""

    id: int
    account_id: int
    message_id: str
    subject: str
    sender: str
    recipients: str
    received_at: str
    snippet: str
    size: int
    seen: bool
    flagged: bool
    has_attachments: bool


@dataclass(frozen=True)
class OutboxHead:
    """A written mail as lists have it. `hold` says why it waits for a person; "" when it does not."""

    id: int
    account_id: int
    to: str
    subject: str
    status: str
    hold: str
    retries: int
    next_attempt_at: str
    error_code: str
    error: str
    created_at: str
    sent_at: str | None


@dataclass(frozen=True)
class Suppressed:
    """An address that an account does not write to. `reason`: "bounced", "complaint" or "by_hand"."""

    id: int
    account_id: int
    address: str
    reason: str
    since: str
    words: str


@dataclass(frozen=True)
class Alias:
    """A further address that an account sends from."""

    id: int
    account_id: int
    email: str
    display_name: str
    signature: str


@dataclass(frozen=True)
class Feature:
    """How far a feature is on: for `percent` of the accounts, but for those in `on` and `off`."""

    feature: str
    percent: int
    on: Sequence[int]
    off: Sequence[int]


@dataclass(frozen=True)
class Completeness:
    """An account's last comparison with its server. `document`: the signed report, None until the first one."""

    finished_at: str | None
    differ: int
    error: str
    document: dict[str, Any] | None


@dataclass(frozen=True)
class Need:
    """Something that needs a person."""

    key: str
    kind: str
    account_id: int | None
    sentence: str
    count: int


@dataclass(frozen=True)
class Mail:
    """A mail for the site to write. `sender`: which of the account's addresses From is; "" is its own."""

    account_id: int
    to: Sequence[str]
    subject: str
    body_text: str
    body_html: str = ""
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    sender: str = ""

    def as_json(self) -> dict[str, Any]:
        given = asdict(self)
        sender = given.pop("sender")
        return given | ({"from": sender} if sender else {})
