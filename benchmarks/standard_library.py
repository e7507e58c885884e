"""What Python's own email package reads in a message (email.policy.default), in the words of agreement."""

from __future__ import annotations

import hashlib
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast


def read(raw: bytes) -> dict[str, Any]:
    """{} of a message that it raises an error for."""
    try:
        return _read(message_from_bytes(raw, policy=policy.default))
    except Exception:  # IndexError, KeyError, RecursionError, UnicodeError and others, by the damage
        return {}


def _read(message: EmailMessage) -> dict[str, Any]:
    text: list[str] = []
    html: list[str] = []
    files: list[list[str]] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and not part.is_attachment():
            (html if kind == "text/html" else text).append(str(part.get_content()))
        else:
            files.append([part.get_filename() or "", hashlib.sha256(_octets(part)).hexdigest()])
    date = message["date"].datetime if message["date"] else None
    return {
        "message_id": str(message["message-id"] or "").strip("<> "),
        "subject": str(message["subject"] or ""),
        **{field: _addresses(message, field) for field in ("from", "to", "cc")},
        "date": int(date.timestamp()) if date else None,
        "text": " ".join("\n".join(text).split()),
        "html": " ".join("\n".join(html).split()),
        "files": files,
    }


def _leaves(message: EmailMessage) -> list[EmailMessage]:
    """In their order; an attached message is one."""
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        return [leaf for part in message.iter_parts() for leaf in _leaves(cast(EmailMessage, part))]
    return [message]


def _octets(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _addresses(message: EmailMessage, field: str) -> list[str]:
    return [each.addr_spec for value in message.get_all(field, []) for each in value.addresses]
