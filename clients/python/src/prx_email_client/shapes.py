"""The results of API calls, and a mail to be sent."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Account:
    """An account. `sends_mail`: whether sending is switched on."""

    id: int
    email: str
    display_name: str
    sends_mail: bool


@dataclass(frozen=True)
class SendState:
    """The state of a mail: "pending", "sending", "sent", "failed" or "cancelled". `next_attempt_at` is RFC 3339."""

    outbox_id: int
    status: str
    retries: int
    provider_message_id: str | None
    next_attempt_at: str | None


@dataclass(frozen=True)
class MessageHead:
    """A received message in a list. Times are RFC 3339; sizes are in bytes."""

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
    """A written mail in a list. `hold`: why it waits for a person, or ""."""

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
    """A further address from which an account may send."""

    id: int
    account_id: int
    email: str
    display_name: str
    signature: str


@dataclass(frozen=True)
class Feature:
    """A feature flag: on for `percent` of the accounts; `on` and `off` list accounts with their own setting."""

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
    """A problem that needs a person."""

    key: str
    kind: str
    account_id: int | None
    sentence: str
    count: int


@dataclass(frozen=True)
class Event:
    """Something that happened. `number`: resume with it as `after`. `id`: the same in a webhook's webhook-id."""

    id: str
    number: int
    type: str
    timestamp: str
    account_id: int
    message_id: int | None
    outbox_id: int | None
    folder_id: int | None
    detail: dict[str, Any]


@dataclass(frozen=True)
class File:
    """A file to attach. `content_type`: "" means that the file name decides."""

    filename: str
    content: bytes
    content_type: str = ""

    def as_json(self) -> dict[str, str]:
        """The file as a member of the request."""
        content = base64.b64encode(self.content).decode("ascii")
        return {"filename": self.filename, "content_type": self.content_type, "base64": content}


@dataclass(frozen=True)
class Mail:
    """A mail that the site composes. `sender`: the account's address in From; "" means its main address."""

    account_id: int
    to: Sequence[str]
    subject: str
    body_text: str
    body_html: str = ""
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    sender: str = ""
    attachments: Sequence[File] = ()

    def as_json(self) -> dict[str, Any]:
        """The body of the request."""
        return _as_json(self)


@dataclass(frozen=True)
class Reply:
    """A reply to a received message, which the site composes. `message`: its id.

    Without `to` it goes to whom the message asks to answer to; without `subject` it has "Re: " and the message's.
    """

    account_id: int
    message: int
    body_text: str
    body_html: str = ""
    to: Sequence[str] = ()
    subject: str = ""
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    sender: str = ""
    attachments: Sequence[File] = ()

    def as_json(self) -> dict[str, Any]:
        """The body of the request."""
        return _as_json(self)


def _as_json(mail: Mail | Reply) -> dict[str, Any]:
    """JSON has the sender under the name "from", and lists."""
    given = {each.name: getattr(mail, each.name) for each in fields(mail)}
    sender = given.pop("sender")
    lists = {name: list(given[name]) for name in ("to", "cc", "bcc")}
    files = [each.as_json() for each in mail.attachments]
    return given | lists | {"attachments": files} | ({"from": sender} if sender else {})
