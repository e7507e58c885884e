"""The parameters of MAIL: SIZE, BODY, SMTPUTF8. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.retry.faults import Fault, Kind, Phase
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.mail import Mail

LONGEST_LINE = 998  # bytes without CRLF (RFC 5321 4.5.3.1.6)


def mail_parameters(mail: Mail, extensions: Mapping[str, str]) -> str:
    """The parameters of MAIL, each with a space before it. Raises SmtpFailure if it cannot be sent so.

    `extensions`: from EHLO, keyword in lower case -> its parameters. RFC 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8).
    """
    content, parameters = mail.content, ""
    if "size" in extensions:
        limit = extensions["size"].split()
        if limit and limit[0].isdecimal() and 0 < int(limit[0]) < len(content):
            raise _cannot_go(f"The mail has {len(content)} bytes and the server takes at most {limit[0]}: send less.")
        parameters += f" SIZE={len(content)}"
    if max(map(len, content.split(b"\n"))) > LONGEST_LINE + 1:
        raise _cannot_go("The mail has a line of more than 998 bytes and cannot be sent as it is.")
    if not content.isascii() and "8bitmime" in extensions:
        parameters += " BODY=8BITMIME"
    if mail.smtputf8:
        if "smtputf8" not in extensions:
            raise _cannot_go("The server does not offer SMTPUTF8, which an address of this mail needs: use another.")
        parameters += " SMTPUTF8"
    return parameters


def _cannot_go(words: str) -> SmtpFailure:
    return SmtpFailure(Fault(Phase.MAIL, Kind.LOCAL, words))
