"""What a server is asked to write into its reports (DSN, RFC 3461): whose mail it was, and whom we wrote to. Pure, but
for what this process has learned of servers.

It costs no round trip: the parameters go with MAIL and RCPT. A report then names the attempt and the address even where
it returns nothing of the mail, or a server on the way rewrote the Message-ID or forwarded the recipient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailbox.endpoints import Endpoint
from outbox.smtp.replies import Reply
from outbox.smtp.xtext import xtext

# Unknown parameters, bad ones, or none taken (RFC 5321, 4.2.3 and 4.5.3.1: 501, 504, 555).
_REFUSALS = (500, 501, 504, 555)
_OF_THE_ADDRESS = re.compile(r"\b5\.1\.\d")  # RFC 3463, X.1.X
LONGEST_ORCPT = 500  # RFC 3461, 4.2
_refuse_it: set[tuple[str, int]] = set()  # host and port of servers that offered DSN and did not take its parameters


_without_of: set[tuple[str, int, str]] = set()  # likewise of one recipient, while others of the mail were taken
MOST_REMEMBERED = 10_000


def is_taken_by(endpoint: Endpoint) -> bool:
    return (endpoint.host, endpoint.port) not in _refuse_it


def do_without(endpoint: Endpoint) -> None:
    _refuse_it.add((endpoint.host, endpoint.port))


def is_taken_of(endpoint: Endpoint, address: str) -> bool:
    return (endpoint.host, endpoint.port, address) not in _without_of


def do_without_of(endpoint: Endpoint, addresses: Iterable[str]) -> None:
    if len(_without_of) > MOST_REMEMBERED:
        _without_of.clear()
    _without_of.update((endpoint.host, endpoint.port, address) for address in addresses)


def of_mail(envelope_id: str, submitted: str = "") -> str:
    """What MAIL says of it. RET=HDRS: a report returns the header, in which the attempt's mark stands, and no body.
    `submitted`: what a program asked for ("RET=FULL ENVID=a7"), which stands in place of ours (RFC 3461 4.3, 4.4)."""
    return _with({"RET": "HDRS", "ENVID": xtext(envelope_id)} if envelope_id else {}, submitted)


def of_recipient(address: str, submitted: str = "") -> str:
    """What RCPT says of it. Without NOTIFY each server would decide for itself whether it tells of delays. An address
    that is not ASCII has a notation of its own (RFC 6533), which is not worth its risks: then nothing of ours is said.
    `submitted`: as in of_mail ("NOTIFY=NEVER")."""
    original = f"rfc822;{xtext(address)}" if address.isascii() else ""
    is_told = 0 < len(original) <= LONGEST_ORCPT
    return _with({"NOTIFY": "FAILURE,DELAY", "ORCPT": original} if is_told else {}, submitted)


def _with(ours: dict[str, str], submitted: str) -> str:
    asked = dict(each.split("=", 1) for each in submitted.split())
    return "".join(f" {name}={value}" for name, value in (ours | asked).items())


def may_be_about_it(reply: Reply) -> bool:
    """Whether a refusal of MAIL or RCPT may mean the parameters. What names the address as wrong means that."""
    return reply.code in _REFUSALS and not _OF_THE_ADDRESS.search(reply.text)
