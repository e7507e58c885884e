"""Reports errors to Sentry or a compatible server: what was raised and where; no secrets, and nothing of a mail.

Only what is listed here is sent, whatever the SDK collects: type and place of exceptions, and the first line of their
message with addresses redacted. No variables, requests, breadcrumbs, queries or users.
"""

from __future__ import annotations

from typing import Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.transport import Transport

from mailbox.logs import provider_words, request_id

KEPT = ("event_id", "timestamp", "level", "platform", "release", "environment", "server_name", "logger", "sdk")
FRAME = ("filename", "abs_path", "function", "module", "lineno", "in_app")


def start(dsn: str, transport: Transport | None = None) -> None:
    """Start the SDK for this process. `dsn`: where to send; `transport`: another way to send, for tests."""
    sentry_sdk.init(
        dsn=dsn,
        transport=transport,
        release=settings.RELEASE,
        before_send=only_what_is_safe,
        before_send_transaction=lambda *_: None,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
    )


def only_what_is_safe(event: Any, hint: Any) -> Any:
    """A new event with the allowed fields of `event` only; for Sentry's before_send."""
    safe: dict[str, Any] = {name: event[name] for name in KEPT if name in event}
    if given := request_id.get():
        safe["tags"] = {"request_id": given}
    if words := event.get("logentry"):
        safe["logentry"] = {"message": first_line(words.get("formatted") or words.get("message") or "")}
    if "exception" in event:
        safe["exception"] = {"values": [_exception(each) for each in event["exception"].get("values", [])]}
    return safe


def first_line(words: str) -> str:
    """The first line of an exception's message: PostgreSQL's further lines contain values of rows."""
    return provider_words(str(words).partition("\n")[0])


def _exception(said: dict[str, Any]) -> dict[str, Any]:
    frames = (said.get("stacktrace") or {}).get("frames", [])
    return {
        "type": said.get("type"),
        "module": said.get("module"),
        "value": first_line(said.get("value") or ""),
        "stacktrace": {"frames": [{name: frame[name] for name in FRAME if name in frame} for frame in frames]},
    }
