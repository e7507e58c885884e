"""Structured logs: one line an event, key=value, addresses redacted, secrets never."""

import json
import logging
import re
from typing import Any

PROVIDER_WORDS_LIMIT = 160
# A local part: any letters of RFC 5322 and 6531, as in VERP's "bounce+ann=example.com", or a quoted string. The
# look-behind lets a search begin only where a run of letters begins, so that it takes linear time.
_LETTER = r"""[^\s\x00-\x1f<>()\[\],:;@"\\]"""
_ADDRESS = re.compile(
    rf"""(?:(?<!{_LETTER})(['=]*+{_LETTER}?+){_LETTER}*+|"[^"\n]{{1,64}}")@(\w[\w.-]*+|\[[^\s\[\]@]{{1,64}}\])"""
)
# No addresses, though they look like some: they tie the lines about one mail together.
_MESSAGE_IDS = frozenset({"message_id", "in_reply_to", "references"})


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
    """time level event key=value ...; every value passes through redact(), but for Message-IDs."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = redact(super().format(record))
        fields: dict[str, Any] = getattr(record, "fields", {})
        return " ".join([line, *(_pair(key, value) for key, value in fields.items())])


def _pair(key: str, value: Any) -> str:
    shown = json.dumps(value, default=str, ensure_ascii=False)
    return f"{key}={shown if key in _MESSAGE_IDS else redact(shown)}"
