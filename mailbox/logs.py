"""Structured logs: one line an event, with host, process and key=value fields; addresses are redacted."""

import json
import logging
import platform
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from mailbox.plain_words import on_a_line

PROVIDER_WORDS_LIMIT = 160
# A local part: any characters of RFC 5322 and 6531, as in VERP's "bounce+ann=example.com", or a quoted string. The
# look-behind lets a match begin only at the start of a run of such characters, which keeps the search linear.
_LETTER = r"""[^\s\x00-\x1f<>()\[\],:;@"\\]"""
_ADDRESS = re.compile(
    rf"""(?:(?<!{_LETTER})(['=]*+{_LETTER}?+){_LETTER}*+|"[^"\n]{{1,64}}")@(\w[\w.-]*+|\[[^\s\[\]@]{{1,64}}\])"""
)
# Characters. Docker ends a line after 16 KiB, journald after 48: the rest would begin a line with a stranger's words.
LONGEST_LINE, LONGEST_VALUE, LONGEST_TRACEBACK = 16_000, 1_000, 5_000
LONGEST_LIST = 100
# Links that sign people in (people.links): a reader of the log must not be able to use one.
_LINK = re.compile(r"(/password/link/\w+/\d+/|/profile/email/)[^/\s\"'?]+")
# Message-IDs look like addresses and are not redacted: they connect the lines about one mail.
_ABOUT = frozenset({"time", "level", "host", "process", "logger", "event"})  # no field stands in their place
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


class HostNotAllowed(logging.Filter):
    """A filter for django.security.DisallowedHost: a line that names our variable, without a traceback. Whoever scans
    the Internet asks by address or by other names, so that it is no error of this site."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage().replace("ALLOWED_HOSTS", "PRX_EMAIL_ALLOWED_HOSTS")
        record.msg, record.args, record.exc_info = "host_not_allowed", None, None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.fields = {"reason": said}
        return True


def provider_words(reply: str) -> str:
    """A server's reply for a log: one line, at most 160 characters, addresses redacted."""
    return redact(" ".join(reply.split()))[:PROVIDER_WORDS_LIMIT]


def event(logger: logging.Logger, name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields: account, folder, message_id, run_id, error_code, ..."""
    logger.log(level, name, extra={"fields": fields})


def _cut(text: str, longest: int = LONGEST_VALUE) -> str:
    """The text, or its beginning and its end: the last line of a traceback says what was raised."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


class EventFormatter(logging.Formatter):
    """Formats `time level host/process logger event key=value ...` as one line; a traceback is a field as well.

    Every value except Message-IDs passes through redact(). Line breaks are escaped and long values cut, so that a
    server's words cannot forge a line.
    """

    def __init__(self) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {this_host()}/%(process)d %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message = _cut(record.getMessage())
        record.asctime = self.formatTime(record)
        line = redact(self.formatMessage(record))
        pairs = [_pair(key, value) for key, value in dict(getattr(record, "fields", {})).items()]
        if record.exc_info:
            pairs.append(_pair("traceback", self.formatException(record.exc_info), LONGEST_TRACEBACK))
        return _cut(on_a_line(" ".join([line, *pairs])), LONGEST_LINE)


def _pair(key: str, value: Any, longest: int = LONGEST_VALUE) -> str:
    shown = json.dumps(value, default=str, ensure_ascii=False)
    return f"{key}={_cut(shown if key in _MESSAGE_IDS else redact(shown), longest)}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, host, process, logger, event, request_id, and its fields.

    Values keep their types; strings in them, except Message-IDs, pass through redact(), and long ones are cut.
    """

    def format(self, record: logging.LogRecord) -> str:
        for part in (1, 20):  # a control character is six in JSON: what is much too long then is cut further
            line = json.dumps(self._about(record, part) | self._said(record, part), default=str)
            if len(line) <= LONGEST_LINE:
                return line
        return json.dumps(self._about(record, 20) | {"left_out": "fields"})

    def _said(self, record: logging.LogRecord, part: int) -> dict[str, Any]:
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        longest = LONGEST_VALUE // part
        said = {
            key: _said(value, longest, with_addresses=key in _MESSAGE_IDS)
            for key, value in fields.items()
            if key not in _ABOUT
        }
        if record.exc_info:
            said["traceback"] = _cut(redact(self.formatException(record.exc_info)), LONGEST_TRACEBACK // part)
        return said | ({"request_id": given} if (given := request_id.get()) else {})

    def _about(self, record: logging.LogRecord, part: int) -> dict[str, Any]:
        return {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "host": this_host(),
            "process": record.process,
            "logger": record.name,
            "event": _cut(redact(record.getMessage()), LONGEST_VALUE // part),
        }


def _said(value: Any, longest: int, *, with_addresses: bool = False) -> Any:
    if isinstance(value, dict):
        some = list(value.items())[:LONGEST_LIST]
        return {_said(str(key), longest): _said(each, longest, with_addresses=with_addresses) for key, each in some}
    if isinstance(value, list | tuple | set | frozenset):
        return [_said(each, longest, with_addresses=with_addresses) for each in list(value)[:LONGEST_LIST]]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _cut(str(value) if with_addresses else redact(str(value)), longest)
