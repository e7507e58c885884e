"""Addresses of an outgoing mail: header text -> display names and addr-specs, and back to 7-bit header text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import NonASCIILocalPartDefect
from email.header import Header
from email.policy import default as default_policy
from email.utils import formataddr
from typing import Any

from django.utils.translation import gettext

from outbox.errors import ValidationFailed

MAX_RECIPIENTS = 100  # what every server must take in one transaction (RFC 5321 4.5.3.1.8)
# RFC 5322 atext, and any non-ASCII character (RFC 6531).
_LOCAL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+)*"
)
_QUOTED_LOCAL = re.compile(r'"([^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])+"')
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_\-]{0,61}[A-Za-z0-9])?")
_LITERAL = re.compile(r"\[[0-9A-Za-z:.\-]{3,64}\]")


@dataclass(frozen=True)
class Address:
    """`spec` is the addr-spec with an ASCII (IDNA) domain; its local part may need SMTPUTF8."""

    name: str
    spec: str

    @property
    def needs_smtputf8(self) -> bool:
        return not self.spec.isascii()

    def __str__(self) -> str:
        """As a person reads it, and as parse() takes it back."""
        if not self.name:
            return self.spec
        escaped = self.name.replace("\\", "\\\\").replace('"', '\\"')
        return (
            f'"{escaped}" <{self.spec}>'
            if re.search(r'[()<>@,:;."\\\[\]]', self.name)
            else f"{self.name} <{self.spec}>"
        )


def refuse_breaks(field: str, value: str) -> None:
    """Raise ValidationFailed when the text of a header holds what would end the header, or cannot be encoded."""
    if any(character in value for character in "\r\n\x00"):
        raise ValidationFailed(
            gettext("%(field)s must be one line: remove the line breaks and NUL characters.") % {"field": field}
        )
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in value):
        raise ValidationFailed(gettext("%(field)s holds a control character: remove it.") % {"field": field})
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValidationFailed(
            gettext("%(field)s holds half of a character (a lone surrogate): type it again.") % {"field": field}
        ) from None


def parse(field: str, value: str | Sequence[str]) -> list[Address]:
    """Return the addresses of a field, in order; raises ValidationFailed with what to do."""
    found: list[Address] = []
    for text in [value] if isinstance(value, str) else value:
        if not isinstance(text, str):
            raise ValidationFailed(
                gettext("%(field)s must be text: an address such as ann@example.com.") % {"field": field}
            )
        refuse_breaks(field, text)
        if text.strip(" \t,"):
            found += _parse_one(field, text.strip(" \t,"))
    return found


def _parse_one(field: str, text: str) -> list[Address]:
    try:
        header: Any = default_policy.header_factory("to", text)
        pairs = [(each.display_name, f"{each.username}@{each.domain}", each.domain) for each in header.addresses]
        broken = not pairs or any(not isinstance(each, NonASCIILocalPartDefect) for each in header.defects)
    except Exception:  # the standard parser raises IndexError, AttributeError and more on malformed input
        broken, pairs = True, []
    # The standard parser is lenient (it drops what it does not understand): what it kept must account for the text.
    if broken or text.count("@") < len(pairs):
        raise ValidationFailed(_malformed(field, text))
    return [Address(name.strip(), checked_spec(field, spec)) for name, spec, _ in pairs]


def checked_spec(field: str, spec: str) -> str:
    """Return the addr-spec with its domain in ASCII; raises ValidationFailed when it is malformed."""
    local, at, domain = spec.rpartition("@")
    if not at or not (_LOCAL.fullmatch(local) or _QUOTED_LOCAL.fullmatch(local)) or len(local.encode()) > 64:
        raise ValidationFailed(_malformed(field, spec))
    if not _LITERAL.fullmatch(domain):
        domain = _ascii_domain(field, spec, domain)
    if len(f"{local}@{domain}".encode()) > 254:
        raise ValidationFailed(
            gettext("%(field)s has an address that is too long: %(spec)s...") % {"field": field, "spec": spec[:60]}
        )
    return f"{local}@{domain}"


def _ascii_domain(field: str, spec: str, domain: str) -> str:
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValidationFailed(_malformed(field, spec)) from None
    if not ascii_domain or not all(_LABEL.fullmatch(label) for label in ascii_domain.split(".")):
        raise ValidationFailed(_malformed(field, spec))
    return ascii_domain


def _malformed(field: str, text: str) -> str:
    return gettext(
        "%(field)s has a malformed address: %(text)s. Write it as ann@example.com or Ann <ann@example.com>."
    ) % {"field": field, "text": repr(text[:100])}


def text_of(addresses: Sequence[Address]) -> str:
    return ", ".join(str(address) for address in addresses)


_NAME_ON_A_LINE = 60  # characters of a display name; longer ones are folded as encoded words


def _is_plain(value: str) -> bool:
    """Whether it can stand as it is: what looks like an encoded word would be decoded by whoever reads it."""
    return value.isascii() and "=?" not in value


def unstructured_header(name: str, value: str) -> bytes:
    """A header line, folded, non-ASCII as RFC 2047 encoded words."""
    charset = "us-ascii" if _is_plain(value) else "utf-8"
    text = Header(value, charset, header_name=name, maxlinelen=76).encode(splitchars=" \t", linesep="\r\n")
    return f"{name}: {text}\r\n".encode("ascii")


def address_header(name: str, addresses: Sequence[Address]) -> bytes:
    """An address header, an address a line, display names as RFC 2047; UTF-8 only where a local part needs it."""
    return f"{name}: {(',' + chr(13) + chr(10) + ' ').join(_encoded(each) for each in addresses)}\r\n".encode()


def _encoded(address: Address) -> str:
    if not address.name:
        return address.spec
    if _is_plain(address.name) and len(address.name) <= _NAME_ON_A_LINE:
        name = formataddr((address.name, "x@x"))[: -len(" <x@x>")]
    else:
        name = Header(address.name, "utf-8", maxlinelen=70).encode(linesep="\r\n")
    return f"{name} <{address.spec}>"
