"""The DSN parameters of MAIL and RCPT (RFC 3461), so that a report names the attempt and the original recipient.

They take no extra round trip. A report then can be matched even if it contains nothing of the mail, or if a server on
the way rewrote the Message-ID or forwarded the recipient. Pure, except for what this process has learned of servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailbox.endpoints import Endpoint
from outbox.smtp.replies import Reply

# Replies of servers that do not know the parameters or do not take them (RFC 5321, 4.2.3 and 4.5.3.1).
_REFUSALS = (500, 501, 504, 555)
_OF_THE_ADDRESS = re.compile(r"\b5\.1\.\d")  # RFC 3463, X.1.X
LONGEST_ORCPT = 500  # RFC 3461, 4.2
# (host, port, recipient) of servers that offer DSN and refuse its parameters for this recipient of several; "" for all.
_without: set[tuple[str, int, str]] = set()
MOST_REMEMBERED = 10_000


def is_taken(endpoint: Endpoint, address: str = "") -> bool:
    """Whether to send the server DSN parameters (for this recipient), as far as this process knows."""
    return (endpoint.host, endpoint.port, address) not in _without


def do_without(endpoint: Endpoint, addresses: Iterable[str] = ("",)) -> None:
    """Note, for the life of this process, that the server refuses them although it offers DSN, at all or for these
    recipients. Beyond MOST_REMEMBERED, all are forgotten first."""
    if len(_without) > MOST_REMEMBERED:
        _without.clear()
    _without.update((endpoint.host, endpoint.port, address) for address in addresses)


def of_mail(envelope_id: str, submitted: str = "") -> str:
    """The DSN parameters of MAIL, each after a blank. RET=HDRS: a report returns only the header, which has our mark.

    `submitted`: the parameters of a program ("RET=FULL ENVID=a7"), which replace ours (RFC 3461 4.3, 4.4).
    """
    return _with({"RET": "HDRS", "ENVID": xtext(envelope_id)} if envelope_id else {}, submitted)


def of_recipient(address: str, submitted: str = "") -> str:
    """The DSN parameters of RCPT, each after a blank. Without NOTIFY, some servers report delays and some do not.

    Ours are left out for an address beyond ASCII: its notation (RFC 6533) is not worth the risk. `submitted`: the
    parameters of a program ("NOTIFY=NEVER"), which replace ours.
    """
    original = f"rfc822;{xtext(address)}" if address.isascii() else ""
    is_told = 0 < len(original) <= LONGEST_ORCPT
    return _with({"NOTIFY": "FAILURE,DELAY", "ORCPT": original} if is_told else {}, submitted)


def _with(ours: dict[str, str], submitted: str) -> str:
    asked = dict(each.split("=", 1) for each in submitted.split())
    return "".join(f" {name}={value}" for name, value in (ours | asked).items())


def is_asked_in(line: str) -> bool:
    """Whether this MAIL or RCPT has DSN parameters."""
    return any(f" {name}=" in line for name in ("RET", "ENVID", "NOTIFY", "ORCPT"))


def may_be_about_it(reply: Reply) -> bool:
    """Whether a refusal of MAIL or RCPT may be about the parameters; not if its code is about the address."""
    return reply.code in _REFUSALS and not _OF_THE_ADDRESS.search(reply.text)


def xtext(text: str) -> str:
    """The text encoded: printable ASCII except "+" and "=" as it is, all else as "+" and two hexadecimal digits."""
    return "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text)


def from_xtext(text: str) -> str:
    """The decoded text; a "+" without two upper-case hexadecimal digits stays as it is."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)
