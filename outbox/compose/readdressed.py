"""A frozen mail that a server refused for an address -> the same mail under the corrected address. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime

from django.utils.translation import gettext

from mailbox.mime.addresses import same
from outbox.compose.addresses import Address, address_header, parse, text_of

_FIELD = re.compile(rb"([^\r\n:]*+)[^\r\n]*+\r\n(?:[ \t][^\r\n]*+\r\n)*+")  # with the lines it is folded into
# Of the former mail alone: each attempt makes a Message-ID, and a signature (RFC 6376) of a header that names another
# recipient holds no longer.
_TAKEN_OUT = (b"message-id", b"dkim-signature")


@dataclass(frozen=True)
class Readdressed:
    """The mail's bytes; To and Cc as the rows keep them. `is_ascii`: of its header, which needs no SMTPUTF8 then."""

    mime: bytes
    to: str
    cc: str
    is_ascii: bool


def readdressed(mime: bytes, to: str, cc: str, corrected: Mapping[str, str], now: datetime) -> Readdressed:
    """The mail with the addresses of `corrected` replaced in To and Cc (as its row has them), and this Date.

    `corrected`: addr-spec -> addr-spec; "" leaves it out. Raises ValidationFailed where To or Cc cannot be read.
    """
    new_to, new_cc = (_corrected(name, text, corrected) for name, text in ((gettext("To"), to), (gettext("Cc"), cc)))
    fields = {b"to": _field("To", new_to), b"cc": _field("Cc", new_cc)}
    header, _, body = mime.partition(b"\r\n\r\n")
    lines = [f"Date: {format_datetime(now)}\r\n".encode("ascii")]  # first, as compose writes it
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
