"""Corrects addresses in a frozen mail whose recipients a server refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime

from django.utils.translation import gettext

from mailbox.mime.addresses import same
from outbox.compose.addresses import Address, address_header, parse, text_of

_FIELD = re.compile(
    rb"^([^\r\n:]*+)[^\r\n]*+\r\n(?:[ \t][^\r\n]*+\r\n|(?!))*+", re.MULTILINE
)  # a header field with its folded lines
# Not taken over: each attempt of the new mail makes its own Message-ID, and a DKIM signature (RFC 6376) does not
# match the changed header.
_TAKEN_OUT = (b"message-id", b"dkim-signature")


@dataclass(frozen=True)
class Readdressed:
    """The corrected mail. `to`, `cc`: as the outbox row stores them. `is_ascii`: its header needs no SMTPUTF8."""

    mime: bytes
    to: str
    cc: str
    is_ascii: bool


def readdressed(mime: bytes, to: str, cc: str, corrected: Mapping[str, str], now: datetime) -> Readdressed:
    """Replace addresses in To and Cc of a mail, and set its Date to `now`.

    to, cc: the values that its row has. corrected: former addr-spec -> new addr-spec, "" to leave the recipient out.
    Raises ValidationFailed if To or Cc cannot be parsed.
    """
    new_to, new_cc = (_corrected(name, text, corrected) for name, text in ((gettext("To"), to), (gettext("Cc"), cc)))
    fields = {b"to": _field("To", new_to), b"cc": _field("Cc", new_cc)}
    header, _, body = mime.partition(b"\r\n\r\n")
    lines = [f"Date: {format_datetime(now)}\r\n".encode("ascii")]  # the first field, as date_header expects
    for found in _FIELD.finditer(header + b"\r\n"):
        name = found[1].strip().lower()
        if name in fields:
            lines.append(fields.pop(name))
        elif name != b"date" and name not in _TAKEN_OUT:
            lines.append(found[0])
    new = b"".join(lines)
    return Readdressed(new + b"\r\n" + body, text_of(new_to), text_of(new_cc), new.isascii())


def _corrected(field: str, text: str, corrected: Mapping[str, str]) -> list[Address]:
    instead = {same(former): spec for former, spec in corrected.items()}
    found = [replace(each, spec=instead.get(same(each.spec), each.spec)) for each in parse(field, text)]
    return [each for each in found if each.spec]


def _field(name: str, found: Sequence[Address]) -> bytes:
    return address_header(name, found) if found else b""
