"""The demo's second mailbox: Bob looks after orders and the machines. His mail is not Ann's, but for what they write
to each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage

from demo.sample_parts import pdf
from demo.sample_texts import LETTERS
from demo.samples import ANN, SEEN, SampleMessage, as_sample, new_message

BOB = "Bob Carter <bob@demo.example>"
TICKETS = [
    ("Dora Lind <dora@client.example>", "Where is my order?", "I ordered two weeks ago and nothing has come.", 6.0),
    ("Yusuf Kaya <yusuf@client.example>", "Wrong colour", "We ordered blue boxes and got green ones.", 3.4),
    ("Mia Rossi <mia@client.example>", "Return of order 7702", "How do I send the damaged box back?", 2.6),
    ("Sipho Dube <sipho@client.example>", "Address change", "From Monday on please deliver to 14 Dock Road.", 1.1),
    ("Dora Lind <dora@client.example>", "Re: Where is my order?", "It came this morning. Thank you!", 0.5),
]
NOTICES = [
    ("disk", "web2: disk 91 % full", "/var/log grew by 4 GB since yesterday.", 8.2),
    ("disk", "web2: disk back to 62 %", "Old logs were rotated away.", 8.0),
    ("certificate", "shop.demo.example: certificate renewed", "Valid for 90 days.", 4.0),
    ("backup", "Backup finished", "2.1 GB in 14 minutes, verified.", 1.0),
    ("backup", "Backup finished", "2.1 GB in 13 minutes, verified.", 0.05),
]


def messages_of_bob(now: datetime) -> list[SampleMessage]:
    """About twenty messages in no order: `days_ago` gives it."""
    return [*_tickets(now), *_notices(now), *_invoices(now), *_sent_to_ann(now)]


def _tickets(now: datetime) -> Iterator[SampleMessage]:
    for number, (sender, subject, text, days_ago) in enumerate(TICKETS):
        message = new_message(now, sender, subject, days_ago, to="Orders <orders@demo.example>")
        message["Cc"] = BOB
        message.set_content(f"Hello,\n\n{text}\n\n{sender.partition(' <')[0]}\n")
        yield as_sample(message, days_ago, flags=SEEN if number < 3 else ())


def _notices(now: datetime) -> Iterator[SampleMessage]:
    for kind, subject, text, days_ago in NOTICES:
        message = new_message(now, "Watch <watch@ops.example>", subject, days_ago, to=BOB)
        message["List-Id"] = f"Machines <{kind}.ops.example>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text + "\n")
        yield as_sample(message, days_ago, folder="Machines", flags=SEEN)


def _invoices(now: datetime) -> Iterator[SampleMessage]:
    """What the search of the README looks for: from:ann has:attachment "june invoice" -draft"""
    yield _invoice(now, "June invoice, draft", "Is this right? It is a draft.", "june-draft.pdf", 2.4)
    yield _invoice(now, "June invoice", "Here is the June invoice as it goes out.", "june-invoice.pdf", 1.6)


def _invoice(now: datetime, subject: str, text: str, filename: str, days_ago: float) -> SampleMessage:
    message = new_message(now, ANN, subject, days_ago, to=BOB)
    message.set_content(f"Bob,\n\n{text}\n\nAnn\n")
    lines = ["Demo Ltd.", "", "Invoice 118, June", "", "40 boxes      EUR 1,204.00"]
    message.add_attachment(pdf(lines), maintype="application", subtype="pdf", filename=filename)
    return as_sample(message, days_ago)


def _sent_to_ann(now: datetime) -> Iterator[SampleMessage]:
    for letter in LETTERS:
        if letter.sender == BOB:
            message: EmailMessage = new_message(now, BOB, letter.subject, letter.days_ago)
            message.set_content(letter.text)
            yield as_sample(message, letter.days_ago, folder="Sent", flags=SEEN)
