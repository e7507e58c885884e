"""A mail that a program submitted, as it stands -> the mail as it will go out. Pure.

What is given is kept: only line ends become CRLF, Bcc and X-PRX-Attempt are taken out, and a missing Date is added.
A mail whose header is read in two ways by two programs is refused: the account's address must be what all of them show.

RFC 5322 3.6 (which fields a header has once), 2.1.1 (lines); RFC 6409 8 (what a submission server may add).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from django.utils.translation import gettext

from mailbox.mime import addresses as mime_addresses
from mailbox.mime import message as mime_message
from mailbox.mime.message import ParsedMessage
from outbox.compose.addresses import MAX_RECIPIENTS, checked_spec
from outbox.compose.build import MAX_MESSAGE_ID, FrozenMessage, Threading
from outbox.errors import ValidationFailed

LONGEST_LINE = 998  # octets without CRLF
MAX_HEADER = 256 * 1024  # octets
MOST_NAMED = 5  # addresses in a refusal
# A field and the lines that it is folded into. Possessive: linear for any bytes.
_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]++)[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)\r\n")
_ONCE = (b"from", b"sender", b"date", b"message-id", b"to", b"cc", b"subject")
_TAKEN_OUT = (b"bcc", b"resent-bcc", b"return-path", b"x-prx-attempt")
_MESSAGE_ID = re.compile(r"[!-~]++")


@dataclass(frozen=True)
class Submitted:
    """A mail and its envelope as a program gave them. `smtputf8`: the program said so (RFC 6531).
    `needs_message_id`: a mail without one is refused, as its way in may repeat what was accepted. `dsn_parameters`,
    `dsn_parameters_of`: of MAIL, and of each RCPT in its order (RFC 3461), checked."""

    content: bytes
    rcpt_to: Sequence[str]
    smtputf8: bool = False
    needs_message_id: bool = False
    dsn_parameters: str = ""
    dsn_parameters_of: Sequence[str] = ()


@dataclass
class _Header:
    """The fields of a header: what stays, and the values of those that are looked at, by lower-case name."""

    kept: list[bytes] = field(default_factory=list)
    values: dict[bytes, list[str]] = field(default_factory=dict)

    def one(self, name: bytes) -> str:
        return " ".join(next(iter(self.values.get(name, [])), "").split())


def frozen(
    given: Submitted, account_email: str, *, now: datetime, aliases: Sequence[str] = ()
) -> tuple[FrozenMessage, ParsedMessage]:
    """Check the mail and its envelope; raises ValidationFailed with what to do.

    `aliases`: the addresses beside the account's that From may be. The envelope's sender is the account's in any case.
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
    """CRLF line ends, one at the end; raises ValidationFailed for what no mail can carry."""
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
    """The header without what is taken out, and the body. A line that is no field ends no header here: programs
    disagree about what follows it, so the mail is refused."""
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
    """From must be there, and it and Sender must be one of these addresses and nothing else."""
    own = {mime_addresses.same(each) for each in addresses}
    for name in (b"from", b"sender"):
        if name == b"sender" and name not in header.values:
            continue
        found = mime_addresses.read(header.one(name))
        if len(found) != 1 or mime_addresses.same(found[0].address) not in own:
            raise ValidationFailed(
                gettext("%(name)s must be one address of this account, and no other: %(address)s.")
                % {"name": name.decode().title(), "address": ", ".join(addresses[:MOST_NAMED])}
            )


def _checked_message_id(text: str) -> str:
    if text and (not _MESSAGE_ID.fullmatch(text) or len(text) > MAX_MESSAGE_ID):
        raise ValidationFailed(
            gettext("The Message-ID is malformed: write it as <unique@example.com>, or leave it out.")
        )
    return text


def _envelope(rcpt_to: Sequence[str], parsed: ParsedMessage) -> tuple[tuple[str, str], ...]:
    """(kind, addr-spec), each mailbox once: a recipient that neither To nor Cc names is a Bcc."""
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
