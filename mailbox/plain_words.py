"""Words of strangers for where no page escapes them: terminals, logs, subjects, sentences that leave the site. Pure.

A mail, a folder's name or a server's answer may hold line breaks, commands to a terminal and characters that turn
around the text beside them. `on_a_line` shows them as what they are, `without_controls` leaves them out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

# C0 and C1 (ECMA-48; a terminal takes U+009B for the beginning of a command, as it does ESC and "["), DEL, and the line
# and paragraph separators, at which many readers of logs begin a line.
_CONTROLS = (*range(32), *range(127, 160), 0x2028, 0x2029)
# Embeddings, overrides and isolates: they reorder what stands behind them on the line (UAX 9).
_TURNING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SURROGATES = range(0xD800, 0xE000)  # halves of a character, which no UTF-8 has
_SHORT = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}

_ESCAPED = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in (*_CONTROLS, *_TURNING, *_SURROGATES)
} | _SHORT
# json.dumps() escapes what is below a blank; the line feeds of an indented text are no part of a string.
_AS_JSON = {code: f"\\u{code:04x}" for code in _ESCAPED if code > 32}
_LEFT_BY_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED_BUT_BREAKS = {code: text for code, text in _ESCAPED.items() if code != 0x0A}
_BLANKS = dict.fromkeys(_CONTROLS, " ") | dict.fromkeys(_SURROGATES, "\ufffd")
_DROPPED = _BLANKS | dict.fromkeys(_TURNING, "")
_DROPPED_BUT_ISOLATES = {code: text for code, text in _DROPPED.items() if code not in (0x2068, 0x2069)}


def on_a_line(text: str) -> str:
    """The text for one line of a log or a terminal, its control and bidi characters escaped."""
    return text if text.isascii() and text.isprintable() else text.translate(_ESCAPED)


def on_lines(text: str) -> str:
    """As on_a_line(), but its line feeds stay."""
    return text.translate(_ESCAPED_BUT_BREAKS)


def as_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """One line of JSON for a terminal: letters as they are, and escaped what on_a_line() escapes."""
    return escaped_json(json.dumps(value, default=default, ensure_ascii=False))


def escaped_json(text: str) -> str:
    """JSON text that says the same, for whoever prints it as it is: what on_a_line() escapes is escaped in its way."""
    return text.translate(_AS_JSON) if _LEFT_BY_JSON.search(text) else text


def without_controls(text: str) -> str:
    """The text as one line for a subject or a sentence: a blank for each control character, no bidi controls."""
    return text if text.isascii() and text.isprintable() else text.translate(_DROPPED)


def with_isolates(text: str) -> str:
    """As without_controls(), but with the isolates that a sentence of a right-to-left language has around its values
    (U+2068, U+2069)."""
    return text.translate(_DROPPED_BUT_ISOLATES)
