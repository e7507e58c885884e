"""Structured logs: one line an event, with host, process and key=value fields; addresses are redacted."""

import json
import logging
import platform
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

PROVIDER_WORDS_LIMIT = 160
# A local part: any characters of RFC 5322 and 6531, as in VERP's "bounce+ann=example.com", or a quoted string. The
# look-behind lets a match begin only at the start of a run of such characters, which keeps the search linear.
_LETTER = r"""[^\s\x00-\x1f<>()\[\],:;@"\\]"""
_ADDRESS = re.compile(
    rf"""(?:(?<!{_LETTER})(['=]*+{_LETTER}?+){_LETTER}*+|"[^"\n]{{1,64}}")@(\w[\w.-]*+|\[[^\s\[\]@]{{1,64}}\])"""
)
# Control characters, C1 too: a terminal takes U+009B for the beginning of a command, as it does ESC and "[".
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
_ESCAPED |= {0x2028: "\\u2028", 0x2029: "\\u2029"}
# Links that sign people in (people.links): a reader of the log must not be able to use one.
_LINK = re.compile(r"(/password/link/\w+/\d+/|/profile/email/)[^/\s\"'?]+")
# Message-IDs look like addresses and are not redacted: they connect the lines about one mail.
_MESSAGE_IDS = frozenset({"message_id", "in_reply_to", "references"})


# The id of the HTTP request that this thread or task answers, "" for none; part of each JSON line.
request_id: ContextVar[str] = ContextVar("request_id", default="")


def this_host() -> str:
    """The machine's host name, which tells the processes of several machines apart in log lines and heartbeats."""
    return platform.node() or "localhost"


def redact(text: str) -> str:
    """Replace ann@example.com by a***@example.com everywhere, and remove the token of links that sign people in."""
    return _ADDRESS.sub(r"\1***@\2", without_links(text))


def without_links(text: str) -> str:
    """The text, with *** in place of the secret in links that sign people in."""
    return _LINK.sub(r"\1***", text)


class WithoutLinks(logging.Filter):
    """A filter for loggers that log the path of a request: it redacts the record before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if (shown := without_links(said)) != said:
            record.msg, record.args = shown, None
        return True


def provider_words(reply: str) -> str:
    """A server's reply for a log: one line, at most 160 characters, addresses redacted."""
    return redact(" ".join(reply.split()))[:PROVIDER_WORDS_LIMIT]


def event(logger: logging.Logger, name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields: account, folder, message_id, run_id, error_code, ..."""
    logger.log(level, name, extra={"fields": fields})


class EventFormatter(logging.Formatter):
    """Formats `time level host/process logger event key=value ...` as one line; a traceback is a field as well.

    Every value except Message-IDs passes through redact(). Line breaks are escaped, so that a server's words cannot
    forge a line.
    """

    def __init__(self) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {this_host()}/%(process)d %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        line = redact(self.formatMessage(record))
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return " ".join([line, *(_pair(key, value) for key, value in fields.items())]).translate(_ESCAPED)


def on_a_line(text: str) -> str:
    """A stranger's text for one line of a log or a terminal, its control characters escaped."""
    return text.translate(_ESCAPED)


def _pair(key: str, value: Any) -> str:
    shown = json.dumps(value, default=str, ensure_ascii=False)
    return f"{key}={shown if key in _MESSAGE_IDS else redact(shown)}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, host, process, logger, event, request_id, and its fields.

    Values keep their types; strings in them, except Message-IDs, pass through redact().
    """

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        said = {key: value if key in _MESSAGE_IDS else _redacted(value) for key, value in fields.items()}
        if given := request_id.get():
            said["request_id"] = given
        about = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "host": this_host(),
            "process": record.process,
            "logger": record.name,
            "event": redact(record.getMessage()),
        }
        return json.dumps({**about, **{key: value for key, value in said.items() if key not in about}}, default=str)


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {_redacted(str(key)): _redacted(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))
