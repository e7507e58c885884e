"""Checks a mail that a program submitted and makes the frozen mail of it. Pure.

The mail is kept as it is, except that line ends become CRLF, Bcc, Resent-Bcc, Return-Path and X-PRX-Attempt are removed
and a missing Date is added. An ambiguous header is refused, so that every program shows the account's address in From.

RFC 5322 3.6 (which fields a header has once), 2.1.1 (lines); RFC 6409 8 (what a submission server may add).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from django.utils.translation import gettext

from mailbox.localized import listed
from mailbox.mime import addresses as mime_addresses
from mailbox.mime import message as mime_message
from mailbox.mime.message import ParsedMessage
from outbox.compose.addresses import MAX_RECIPIENTS, checked_spec
from outbox.compose.build import MAX_MESSAGE_ID, FrozenMessage, Threading
from outbox.errors import ValidationFailed

LONGEST_LINE = 998  # octets without CRLF
MAX_HEADER = 256 * 1024  # octets
MOST_NAMED = 5  # addresses in a refusal
# A header field with its folded lines. Possessive quantifiers keep matching linear for any bytes.
_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]++)[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+|(?!))*+)\r\n")
_ONCE = (b"from", b"sender", b"date", b"message-id", b"to", b"cc", b"subject")
_TAKEN_OUT = (b"bcc", b"resent-bcc", b"return-path", b"x-prx-attempt")
_MESSAGE_ID = re.compile(r"[!-~]++")


@dataclass(frozen=True)
class Submitted:
    """A mail and its envelope as a program submitted them.

    smtputf8: the program gave the parameter SMTPUTF8 (RFC 6531).
    needs_message_id: refuse a mail without Message-ID, as its program may submit it again after it was accepted.
    dsn_parameters, dsn_parameters_of: those of MAIL, and of each recipient in order (RFC 3461); checked already.
    """

    content: bytes
    rcpt_to: Sequence[str]
    smtputf8: bool = False
    needs_message_id: bool = False
    dsn_parameters: str = ""
    dsn_parameters_of: Sequence[str] = ()


@dataclass
class _Header:
    """The fields of a header: the bytes that are kept, and the values of fields in _ONCE by lower-case name."""

    kept: list[bytes] = field(default_factory=list)
    values: dict[bytes, list[str]] = field(default_factory=dict)

    def one(self, name: bytes) -> str:
        return " ".join(next(iter(self.values.get(name, [])), "").split())


def frozen(
    given: Submitted, account_email: str, *, now: datetime, aliases: Sequence[str] = ()
) -> tuple[FrozenMessage, ParsedMessage]:
    """Check the mail and its envelope. Raises ValidationFailed, whose text says what to correct.

    aliases: addresses that From may have instead of `account_email`. The envelope's sender is always `account_email`.
    """
    content = with_crlf(given.content)
    header, body = _cut(content)
    _check_senders(header, [account_email, *aliases])
    message_id = _checked_message_id(header.one(b"message-id"))
    if given.needs_message_id and not message_id:
        raise ValidationFailed(
            gettext("The mail has no Message-ID: write one, the same whenever this mail is sent again.")
        )
    added = b"" if b"date" in header.values else f"Date: {format_datetime(now)}\r\n".encode("ascii")
    mime = added + b"".join(header.kept) + b"\r\n" + body
    parsed = mime_message.parse(mime)
    recipients = _envelope(given.rcpt_to, parsed)
    asked = dict(zip(map(mime_addresses.same, given.rcpt_to), given.dsn_parameters_of, strict=False))
    has_wide_address = not all(spec.isascii() for _kind, spec in recipients)
    return FrozenMessage(
        mime=mime,
        mail_from=checked_spec(gettext("The account"), account_email),
        recipients=recipients,
        to=parsed.recipients,
        cc=parsed.cc,
        bcc=", ".join(spec for kind, spec in recipients if kind == "bcc"),
        subject=parsed.subject,
        body_text=parsed.body_text,
        body_html=parsed.body_html,
        threading=Threading(parsed.in_reply_to, parsed.references_header),
        needs_smtputf8=has_wide_address or (given.smtputf8 and not b"".join(header.kept).isascii()),
        message_id=message_id,
        header_from="" if _is_of(parsed.sender, account_email) else parsed.sender,
        dsn_parameters=given.dsn_parameters,
        dsn_parameters_of={spec: asked.get(mime_addresses.same(spec), "") for _kind, spec in recipients},
    ), parsed


def with_crlf(content: bytes) -> bytes:
    """The mail with CRLF line ends and one at its end. Raises ValidationFailed for NUL or lines over 998 octets."""
    if b"\x00" in content:
        raise ValidationFailed(gettext("The mail holds a NUL character, which no mail can carry: encode it (base64)."))
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if max(map(len, content.split(b"\r\n"))) > LONGEST_LINE:
        raise ValidationFailed(
            gettext("The mail has a line of more than 998 bytes: encode it (quoted-printable or base64).")
        )
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _cut(content: bytes) -> tuple[_Header, bytes]:
    """Split a mail into its header, without the fields of _TAKEN_OUT, and its body. Raises ValidationFailed.

    A header line that is no field is refused: programs disagree about whether it ends the header.
    """
    header, position = _Header(), 0
    while not content.startswith(b"\r\n", position) and position < len(content):
        found = _FIELD.match(content, position)
        if found is None or found.end() > MAX_HEADER:
            raise ValidationFailed(
                gettext("The mail's header is malformed or larger than 256 KiB: fields, an empty line, then the text.")
            )
        position = found.end()
        _take(header, found[1].lower(), found)
    twice = next((name for name in _ONCE if len(header.values.get(name, [])) > 1), None)
    if twice:
        raise ValidationFailed(gettext("The field %(name)s stands twice in the header.") % {"name": twice.decode()})
    return header, content[position + 2 :]


def _take(header: _Header, name: bytes, found: re.Match[bytes]) -> None:
    if name in _TAKEN_OUT:
        return
    header.kept.append(found[0])
    if name in _ONCE:
        header.values.setdefault(name, []).append(found[2].decode("utf-8", "replace"))


def _is_of(sender: str, address: str) -> bool:
    found = mime_addresses.read(sender, is_decoded=True)
    return bool(found) and mime_addresses.same(found[0].address) == mime_addresses.same(address)


def _check_senders(header: _Header, addresses: Sequence[str]) -> None:
    """Raise ValidationFailed unless From, and Sender if present, is exactly one of these addresses."""
    own = {mime_addresses.same(each) for each in addresses}
    for name in (b"from", b"sender"):
        if name == b"sender" and name not in header.values:
            continue
        found = mime_addresses.read(header.one(name))
        if len(found) != 1 or mime_addresses.same(found[0].address) not in own:
            raise ValidationFailed(
                gettext("%(name)s must be one address of this account, and no other: %(address)s.")
                % {"name": name.decode().title(), "address": listed(addresses[:MOST_NAMED])}
            )


def _checked_message_id(text: str) -> str:
    if text and (not _MESSAGE_ID.fullmatch(text) or len(text) > MAX_MESSAGE_ID):
        raise ValidationFailed(
            gettext("The Message-ID is malformed: write it as <unique@example.com>, or leave it out.")
        )
    return text


def _envelope(rcpt_to: Sequence[str], parsed: ParsedMessage) -> tuple[tuple[str, str], ...]:
    """The recipients as (kind, addr-spec), each mailbox once. A recipient that neither To nor Cc names is a Bcc."""
    named = {
        kind: {mime_addresses.same(each.address) for each in mime_addresses.read(text)}
        for kind, text in (("to", parsed.recipients), ("cc", parsed.cc))
    }
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for given in rcpt_to:
        spec = checked_spec("RCPT TO", given)
        local, _, domain = spec.rpartition("@")
        key = mime_addresses.same(spec)
        kind = next((kind for kind, keys in named.items() if key in keys), "bcc")
        found.setdefault((local, domain.lower()), (kind, spec))
    if not 0 < len(found) <= MAX_RECIPIENTS:
        raise ValidationFailed(gettext("A mail has 1 to %(most)s recipients.") % {"most": MAX_RECIPIENTS})
    return tuple(found.values())
