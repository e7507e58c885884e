"""The demo's first mailbox, Ann's: what a small company gets, in several languages, some of it odd and one hostile.

Made with the standard library's email package when it is asked for, so that the dates are always recent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from demo.sample_parts import invitation, pdf, png
from demo.sample_texts import CHAT, HOSTILE_HTML, LETTERS, NEWSLETTER_HTML, RECEIPT_HTML, WEEKLY_REPORTS, Letter

ANN = "Ann Baker <ann@demo.example>"
SEEN = ("\\Seen",)


@dataclass(frozen=True)
class SampleMessage:
    """A mail to put into `folder`: its raw bytes with CRLF, IMAP flags, and the days since it arrived."""

    folder: str
    raw: bytes
    flags: tuple[str, ...]
    days_ago: float


def messages_of_ann(now: datetime) -> list[SampleMessage]:
    """About forty messages in no order: `days_ago` gives it."""
    return [
        *(_letter(now, letter) for letter in LETTERS),
        *_conversation(now),
        *_reports(now),
        *_with_parts(now),
        *_odd(now),
    ]


def new_message(
    now: datetime, sender: str, subject: str, days_ago: float, *, to: str = ANN, key: str = ""
) -> EmailMessage:
    """An empty message with its header. `key`: the left part of its Message-ID, by default made from the other
    values."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(now - timedelta(days=days_ago))
    key = key or hashlib.sha256(f"{sender} {subject} {days_ago}".encode()).hexdigest()[:16]
    message["Message-ID"] = f"<{key}@{sender.rpartition('@')[2].rstrip('>')}>"
    return message


def as_sample(
    message: EmailMessage, days_ago: float, *, folder: str = "INBOX", flags: tuple[str, ...] = ()
) -> SampleMessage:
    """The message for a folder of the demo's mailbox; `days_ago`: its INTERNALDATE."""
    return SampleMessage(folder, message.as_bytes(), flags, days_ago)


def _letter(now: datetime, letter: Letter) -> SampleMessage:
    message = new_message(now, letter.sender, letter.subject, letter.days_ago)
    message.set_content(letter.text, charset=letter.charset, cte="base64" if letter.charset != "utf-8" else None)
    return as_sample(message, letter.days_ago, folder=letter.folder, flags=letter.flags)


def _conversation(now: datetime) -> Iterator[SampleMessage]:
    """A thread between Ann and Carol; Ann's own answers lie in Sent."""
    carol = "Carol Diaz <carol@partner.example>"
    references: list[str] = []
    for number, text in enumerate(CHAT):
        days_ago = 4 - number * 0.6
        sender, to = (carol, ANN) if number % 2 == 0 else (ANN, carol)
        subject = "Stand at the spring fair" if number == 0 else "Re: Stand at the spring fair"
        message = new_message(now, sender, subject, days_ago, to=to, key=f"fair-{number}")
        if references:
            message["In-Reply-To"] = references[-1]
            message["References"] = " ".join(references)
        references.append(str(message["Message-ID"]))
        message.set_content(text)
        is_latest = number == len(CHAT) - 1
        yield as_sample(
            message,
            days_ago,
            folder="INBOX" if number % 2 == 0 else "Sent",
            flags=() if is_latest else (*SEEN, "\\Answered") if number % 2 == 0 else SEEN,
        )


def _reports(now: datetime) -> Iterator[SampleMessage]:
    for week, text in enumerate(WEEKLY_REPORTS):
        days_ago = 3 + week * 7
        message = new_message(
            now, "Monitoring <monitor@ops.example>", f"Weekly report: {text.splitlines()[0]}", days_ago
        )
        message["List-Id"] = "Operations reports <reports.ops.example>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        yield as_sample(message, days_ago, folder="Archive" if week > 1 else "INBOX", flags=SEEN)


def _with_parts(now: datetime) -> Iterator[SampleMessage]:
    yield _invoice(now)
    yield _receipt(now)
    yield _photo(now)
    yield _newsletter(now)
    yield _invitation(now)
    yield _forwarded(now)


def _invoice(now: datetime) -> SampleMessage:
    message = new_message(now, '"Paperworks, Accounts" <billing@paperworks.example>', "Invoice 2041 is due", 1.2)
    message.set_content("Dear Ann,\n\nplease find invoice 2041 attached. It is due within 14 days.\n\nPaperworks\n")
    lines = ["Paperworks Ltd.", "", "Invoice 2041", "", "12 boxes of paper     EUR 341.80", "Due within 14 days."]
    message.add_attachment(pdf(lines), maintype="application", subtype="pdf", filename="invoice-2041.pdf")
    return as_sample(message, 1.2, flags=("\\Flagged",))


def _receipt(now: datetime) -> SampleMessage:
    """HTML with its logo inside: shown without asking for anything remote."""
    message = new_message(now, "Harbour Café <shop@harbour.example>", "Your receipt: thank you! ☕", 0.4)
    message.set_content("Thank you for your order: 2 kg of house blend, € 46.00.\n")
    message.add_alternative(RECEIPT_HTML, subtype="html")
    html = message.get_payload()[1]  # type: ignore[index]
    html.add_related(png(160, 40, (140, 80, 40)), "image", "png", cid="<logo@harbour.example>")  # type: ignore[union-attr]
    return as_sample(message, 0.4)


def _photo(now: datetime) -> SampleMessage:
    message = new_message(now, "Carol Diaz <carol@partner.example>", "Photo of the stand", 0.9)
    message.set_content("This is how it looked last year.\n\nCarol\n")
    message.add_attachment(png(640, 360, (40, 110, 170)), maintype="image", subtype="png", filename="stand größe L.png")
    return as_sample(message, 0.9)


def _newsletter(now: datetime) -> SampleMessage:
    """Pictures from elsewhere and a pixel that tells when it was read: blocked until asked for."""
    message = new_message(now, "The Gazette <news@gazette.example>", "This week: six ideas for quieter inboxes", 2.1)
    message["List-Id"] = "The Gazette <weekly.gazette.example>"
    message["List-Unsubscribe"] = "<https://gazette.example/unsubscribe>"
    message.set_content("Six ideas for quieter inboxes. Read it at https://gazette.example/weekly\n")
    message.add_alternative(NEWSLETTER_HTML, subtype="html")
    return as_sample(message, 2.1, flags=SEEN)


def _invitation(now: datetime) -> SampleMessage:
    message = new_message(now, "Bob Carter <bob@demo.example>", "Invitation: planning", 0.7)
    message.set_content("Shall we plan the next quarter?\n")
    start = (now + timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
    calendar = invitation("Planning", start, "bob@demo.example", "ann@demo.example")
    message.add_alternative(calendar, subtype="calendar", params={"method": "REQUEST"})
    return as_sample(message, 0.7)


def _forwarded(now: datetime) -> SampleMessage:
    inner = new_message(now, "Dora <dora@client.example>", "Where is my order?", 6, to="sales@demo.example")
    inner.set_content("Hello,\n\nI ordered two weeks ago and nothing has come.\n\nDora\n")
    message = new_message(now, "Bob Carter <bob@demo.example>", "Fwd: Where is my order?", 5.8)
    message.set_content("Ann, can you look into this one?\n\nBob\n")
    message.add_attachment(inner)
    return as_sample(message, 5.8, flags=SEEN)


def _odd(now: datetime) -> Iterator[SampleMessage]:
    hostile = new_message(now, '"Your bank" <security@bank-of-nowhere.example>', "Your account is suspended!!", 0.3)
    hostile.set_content(HOSTILE_HTML, subtype="html")
    yield as_sample(hostile, 0.3)
    yield _bounce(now)
    date = format_datetime(now - timedelta(days=9)).encode()
    yield SampleMessage(
        "INBOX",
        b"From: J\xf6rg <joerg@old.example>\r\nTo: ann@demo.example\r\nDate: " + date + b"\r\n"
        b"Subject: Gr\xfc\xdfe, unkodiert\r\n\r\nEin Brief ohne MIME, in Latin-1: \xe4\xf6\xfc.\r\n",
        SEEN,
        9,
    )
    yield SampleMessage("INBOX", b"Subject: (no sender, no date)\r\n\r\nEven this is a message.\r\n", SEEN, 30)


def _bounce(now: datetime) -> SampleMessage:
    """A delivery status notification (RFC 3464)."""
    date = format_datetime(now - timedelta(days=1.5))
    text = f"""From: Mail Delivery System <MAILER-DAEMON@mx.demo.example>
To: ann@demo.example
Date: {date}
Message-ID: <bounce-1@mx.demo.example>
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="report"

--report
Content-Type: text/plain; charset=us-ascii

I could not deliver your message:

<nobody@refuse.example>: 550 5.1.1 There is nobody of that name here

--report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.demo.example

Final-Recipient: rfc822; nobody@refuse.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 There is nobody of that name here

--report
Content-Type: message/rfc822

From: ann@demo.example
To: nobody@refuse.example
Subject: Are you still there?

Hello?

--report--
"""
    return SampleMessage("INBOX", text.replace("\n", "\r\n").encode(), (), 1.5)
