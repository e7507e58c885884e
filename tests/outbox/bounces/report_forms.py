"""Reports in the forms that servers write, each about the attempt `<outbox-7-0@example.com>` with the mark 5d1e to
gone@example.net; made for these tests."""

from __future__ import annotations

import base64
from textwrap import dedent

HEADER = (
    "Return-Path: <ops@example.com>\nMessage-ID: <outbox-7-0@example.com>\nX-PRX-Attempt: 5d1e\nTo: gone@example.net\n"
)
RETURNED = f"{HEADER}Subject: Hello\n\nHello\n"


def plain(sender: str, text: str, *, more: str = "") -> bytes:
    head = f"From: {sender}\nTo: ops@example.com\nSubject: Undeliverable\n{more}\n"
    return (head + dedent(text).lstrip()).replace("\n", "\r\n").encode()


def in_parts(sender: str, *parts: str, kind: str = "mixed", more: str = "") -> bytes:
    body = "".join(f"--b\n{dedent(part).lstrip()}\n" for part in parts)
    head = f"From: {sender}\nTo: ops@example.com\nSubject: Undeliverable\n{more}MIME-Version: 1.0\n"
    return f'{head}Content-Type: multipart/{kind}; boundary="b"\n\n{body}--b--\n'.replace("\n", "\r\n").encode()


def part(kind: str, content: str, more: str = "") -> str:
    return f"Content-Type: {kind}\n{more}\n{content}"


STATUS = (
    "Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822;gone@example.net\nAction: failed\nStatus: 5.1.1\n"
    "Diagnostic-Code: smtp;550 5.1.1 no such user\n"
)
MAIL = part("message/rfc822", RETURNED)
EXIM = "Mail Delivery System <Mailer-Daemon@mx.example.net>"
EXIM_TEXT = """
    This message was created automatically by mail delivery software.

    A message that you sent could not be delivered to one or more of its
    recipients. This is a permanent error. The following address(es) failed:

      gone@example.net
        host mx.example.net [192.0.2.1]
        SMTP error from remote mail server after RCPT TO:<gone@example.net>:
        550 5.1.1 no such user

    ------ This is a copy of the message, including all the headers. ------

    """
FAILED = {
    "exim": plain(EXIM, EXIM_TEXT, more="X-Failed-Recipients: gone@example.net\n") + RETURNED.encode(),
    "exim without its field": plain(EXIM, EXIM_TEXT) + RETURNED.encode(),
    "exchange 2003": in_parts(
        "postmaster@mail.example.net",
        part(
            "text/plain",
            "Your message did not reach some or all of the intended recipients.\n\n"
            "The following recipient(s) could not be reached:\n\n      gone@example.net on 1/2/2025 3:04 AM\n"
            "            The e-mail account does not exist. <mail.example.net #5.1.1>\n",
        ),
        MAIL,
    ),
    "exchange 2010, as a text": plain(
        "Microsoft Exchange <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.net>",
        """
        Delivery has failed to these recipients or distribution lists:

        gone@example.net<mailto:gone@example.net>
        The recipient's e-mail address was not found in the recipient's e-mail system.

        Diagnostic information for administrators:

        Generating server: mail.example.net

        gone@example.net
        #550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##

        Original message headers:

        """,
    )
    + RETURNED.encode(),
    "exchange online": in_parts(
        "Microsoft Outlook <postmaster@example.onmicrosoft.com>",
        part(
            "text/html",
            "<p>Your message to <b>gone@example.net</b> couldn't be delivered.</p><p>gone wasn't found at "
            "example.net.</p><p>Remote server returned '550 5.1.1 RESOLVER.ADR.RecipientNotFound'</p>",
        ),
        part("message/rfc822", RETURNED),
        kind="report; report-type=delivery-status",
    ),
    "exchange online, with its status part in base64": in_parts(
        "postmaster@example.onmicrosoft.com",
        part("text/plain", "x"),
        part(
            "message/delivery-status",
            base64.encodebytes(STATUS.replace("\n", "\r\n").encode()).decode(),
            "Content-Transfer-Encoding: base64\n",
        ),
        MAIL,
        kind="report",
    ),
    "qmail": plain(
        "MAILER-DAEMON@mx.example.net",
        """
        Hi. This is the qmail-send program at mx.example.net.
        I'm afraid I wasn't able to deliver your message to the following addresses.
        This is a permanent error; I've given up. Sorry it didn't work out.

        <gone@example.net>:
        192.0.2.1 does not like recipient.
        Remote host said: 550 5.1.1 no such user
        Giving up on 192.0.2.1.

        --- Below this line is a copy of the message.

        """,
    )
    + RETURNED.encode(),
    "domino": in_parts(
        "Postmaster@domino.example.net",
        part(
            "text/plain",
            "Your message\n\n  Subject: Hello\n\nwas not delivered to:\n\n  gone@example.net\n\n"
            "because:\n\n"
            "  550 5.1.1 User gone (gone@example.net) not listed in Domino Directory\n",
        ),
        MAIL,
    ),
    "domino, with a path between quotation marks": in_parts(
        "Postmaster@domino.example.net",
        part("text/plain", "x"),
        part("message/delivery-status", STATUS.replace("rfc822;gone@example.net", 'rfc822;"gone@example.net"')),
        MAIL,
        kind="report",
    ),
    "notes": plain(
        "Mail_Router@notes.example.net <postmaster@notes.example.net>",
        """
        ------- Failure Reasons  --------

        User not listed in public Name & Address Book 5.1.1
        gone@example.net

        ------- Returned Message --------

        """,
    )
    + RETURNED.encode(),
    "final recipient in angle brackets, action with words": in_parts(
        "x@example.net",
        part(
            "message/delivery-status",
            STATUS.replace("gone@example.net\n", "<gone@example.net>\n").replace("failed\n", "failed (no mailbox)\n"),
        ),
        MAIL,
        kind="report",
    ),
    "action expired": in_parts(
        "x@example.net", part("message/delivery-status", STATUS.replace("failed", "expired")), MAIL, kind="report"
    ),
    "a mail and hardly a word": in_parts(
        "MAILER-DAEMON@mx.example.net", part("text/plain", "Delivery failed (5.1.1)."), MAIL
    ),
    "words of another language": in_parts(
        "postmaster@mx.example.net", part("text/plain; charset=utf-8", "Zustellung an gone@example.net: 5.1.1"), MAIL
    ),
}
_WAYS = {
    "an Original-Recipient that says nothing": ("Action:", "Original-Recipient: unknown;unknown\nAction:"),
    "an Original-Recipient in xtext": (
        "Final-Recipient: rfc822;gone@example.net",
        "Final-Recipient: rfc822;other@example.net\nOriginal-Recipient: rfc822;gone+40example.net",
    ),
    "a name beside the address": ("rfc822;gone@example.net", "rfc822; Gone User <gone@example.net>"),
    "a comment behind it": ("rfc822;gone@example.net", "rfc822; gone@example.net (Gone User)"),
    "a colon for the semicolon": ("rfc822;gone@example.net", "rfc822: gone@example.net"),
    "a blank in the type": ("rfc822;gone@example.net", "RFC 822; 'gone@example.net';"),
    "mailto": ("rfc822;gone@example.net", "rfc822;mailto:gone@example.net"),
    "RFC 6533": ("rfc822;gone@example.net", r"utf-8;gone\x{40}example.net"),
    "action failure": ("Action: failed", "Action: failure"),
    "action undeliverable": ("Action: failed", 'Action: "undeliverable"; permanent'),
    "action with a code": ("Action: failed", "Action: failed, 5.1.1"),
    "no action": ("Action: failed\n", ""),
}
FAILED |= {
    name: in_parts("x@example.net", part("message/delivery-status", STATUS.replace(*way)), MAIL, kind="report")
    for name, way in _WAYS.items()
}
FAILED |= {
    "status part under another type": in_parts(
        "mailer-daemon@x.example", part("text/delivery-status", STATUS), MAIL, kind="report"
    ),
    "status part as a file": in_parts(
        "mailer-daemon@x.example", part('application/octet-stream; name="delivery-status.txt"', STATUS), MAIL
    ),
    "returned header in the singular": in_parts(
        "x@example.net", part("message/delivery-status", STATUS), part("text/rfc822-header", HEADER), kind="report"
    ),
    "returned mail as a file": in_parts(
        "mailer-daemon@x.example", part("message/delivery-status", STATUS),
        part('application/octet-stream; name="message.eml"', RETURNED),
    ),
    "null reverse-path": in_parts(
        "System <system@x.example>", part("text/plain", "Delivery to gone@example.net failed: 5.1.1"), MAIL,
        more="Return-Path: <>\n",
    ),
    "from nobody": in_parts("<>", part("text/plain", "Delivery to gone@example.net failed: 5.1.1"), MAIL),
    "German": in_parts(
        "daemon@x.example", part("text/plain; charset=utf-8",
                                 "Ihre Nachricht an gone@example.net wurde nicht zugestellt (5.1.1)."), MAIL,
    ),
    "Chinese": in_parts(
        "postmaster@x.example", part("text/plain; charset=utf-8", "退信: gone@example.net 用户不存在 5.1.1"), MAIL
    ),
}  # fmt: skip
DELAYED = {
    "exim": plain(
        EXIM,
        """
        This message was created automatically by mail delivery software.
        A message that you sent has not yet been delivered to one or more of its
        recipients after more than 24 hours on the queue on mx.example.net.

        The message identifier is:     1abc-0000-00
        The address to which the message has not yet been delivered is:

          gone@example.net
            Delay reason: 450 4.2.1 mailbox busy

        No action is required on your part. Delivery attempts will continue for
        some time.

        """,
    )
    + HEADER.encode(),
}


def complaint(kind: str = "abuse", recipient: str = "Original-Rcpt-To: <gone@example.net>\n") -> bytes:
    fields = f"Feedback-Type: {kind}\nUser-Agent: Example-FBL/1.0\nVersion: 1\n{recipient}"
    return in_parts(
        "fbl@provider.example",
        part("text/plain", "This is an email abuse report."),
        part("message/feedback-report", fields),
        MAIL,
        kind="report; report-type=feedback-report",
    )
