"""Structured logs: one line an event, key=value, addresses redacted, secrets never."""

import json
import logging
import re
from typing import Any

PROVIDER_WORDS_LIMIT = 160
_ADDRESS = re.compile(r"([A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]*@([A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*)")


def redact(text: str) -> str:
    """Turn ann@example.com into a***@example.com wherever it stands."""
    return _ADDRESS.sub(r"\1***@\2", text)


def provider_words(reply: str) -> str:
    """A server's words as a log may hold them: one line, 160 characters, addresses redacted."""
    return redact(" ".join(reply.split()))[:PROVIDER_WORDS_LIMIT]


def event(logger: logging.Logger, name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields: account, folder, message_id, run_id, error_code, ..."""
    logger.log(level, name, extra={"fields": fields})


class EventFormatter(logging.Formatter):
    """time level event key=value ...; every value passes through redact()."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields: dict[str, Any] = getattr(record, "fields", {})
        pairs = " ".join(f"{key}={json.dumps(value, default=str, ensure_ascii=False)}" for key, value in fields.items())
        return redact(f"{line} {pairs}".rstrip())
