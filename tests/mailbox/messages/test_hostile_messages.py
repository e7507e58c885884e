"""Mails written to break a page or to deceive its reader: every view of each answers, and says what was odd."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailbox.mime import message as mime_message
from mailbox.mime import tree as mime_tree
from mailbox.models import Account, Attachment
from mailbox.views.reading import parse_warnings
from mailbox.views.reading.message import ATTACHMENTS_SHOWN, VIEWS
from tests.mailbox.mime.files import tnef_files
from tests.mailbox.mime.mime_messages import HEAD, multipart
from tests.rows import letter, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]

SCRIPT = b"<script>alert(1)</script><img src=x onerror=alert(2)>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(3)"/>'
TEXT = b"Content-Type: text/plain\r\n\r\nhello"
NAME = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="
MARKS = "\u0315\u0300".encode()
UNPAIRED = "x\ud800y\0z".encode("utf-16-le", "surrogatepass")
SURROGATES = tnef_files.tnef(tnef_files.attached(b"a.txt", b"x", tnef_files.binary_property(0x3707, UNPAIRED, 0x1F)))
EVENT = (
    b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:" + SCRIPT + b"\r\nDTSTART:99991231T235959Z\r\n"
    b"DURATION:P99999W\r\nRRULE:FREQ=SECONDLY;UNTIL=00010101T000000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)

HOSTILE = {
    "one byte": b"x",
    "no body": HEAD,
    "only carriage returns": b"From: a@example.com\rSubject: s\r\rbody",
    "a subject of a megabyte": b"Subject: " + b"A" * 1_000_000 + b"\r\n\r\nbody",
    "ten thousand headers": b"".join(b"X-%d: v\r\n" % number for number in range(10_000)) + b"\r\nbody",
    "ten thousand recipients": b"To: " + b", ".join(b"P <p%d@example.com>" % n for n in range(10_000)) + b"\r\n\r\n",
    "script everywhere": b'From: "' + SCRIPT + b'" <e@example.com>\r\nSubject: ' + SCRIPT + b"\r\n\r\n" + SCRIPT,
    "script in names": multipart(TEXT, b'Content-Type: "' + SCRIPT + b"; name=" + SCRIPT + b"\r\n\r\nx"),
    "a line end in a name": multipart(TEXT, NAME + b'"=?utf-8?q?a=0D=0ASet-Cookie:_x=3Dy?="\r\n\r\nx'),
    "a path for a name": multipart(TEXT, NAME + b'"../../etc/passwd"\r\n\r\nx'),
    "an override in a name": multipart(TEXT, NAME + b'"=?utf-8?q?a=E2=80=AEfdp.exe?="\r\n\r\nx'),
    "two ways to say a name": multipart(TEXT, NAME + b"x; filename*=utf-8''a; filename*0*=utf-8''b\r\n\r\nx"),
    "a page attached": multipart(TEXT, b"Content-Type: text/html; name=a.html\r\n\r\n" + SCRIPT),
    "a drawing as a picture": multipart(
        b'Content-Type: text/html\r\n\r\n<img src="cid:s">', b"Content-Type: image/png\r\nContent-ID: <s>\r\n\r\n" + SVG
    ),
    "utf-7": HEAD + b"Content-Type: text/html; charset=utf-7\r\n\r\n+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "no such charset": HEAD + b'Content-Type: text/plain; charset="../x"\r\n\r\nGr\xfc\xdfe',
    "base64 that is none": multipart(NAME + b"a\r\nContent-Transfer-Encoding: base64\r\n\r\n!=A=\x80\xff*C"),
    "three types": HEAD + b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n" + SCRIPT,
    "no such date": b"Date: Fri, 99 Foo 99999 99:99:99 +9999\r\n\r\nbody",
    "a boundary of nothing": HEAD + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n' + TEXT,
    "a mail as the body": HEAD + b"Content-Type: message/rfc822\r\n\r\n" + multipart(TEXT),
    "accents without end": b"From: e@example.com\r\nSubject: a" + MARKS * 20_000 + b"\r\n\r\na" + MARKS * 100_000,
    "lone surrogates in winmail.dat": multipart(TEXT, b"Content-Type: application/ms-tnef\r\n\r\n" + SURROGATES),
    "an event out of time": multipart(TEXT, b"Content-Type: text/calendar\r\n\r\n" + EVENT),
    "dates at the ends of time": b"Date: 31 Dec 9999 23:59:59 -1400\r\nReceived: x; 1 Jan 0001 00:00 +1400\r\n\r\nb",
    "line ends in encoded words": b"From: =?utf-8?q?A=0D=0ABcc:_x@y.example?= <e@example.com>\r\n"
    b"Reply-To: =?utf-8?q?R=0D=0ABcc:_x@y.example?= <r@example.com>\r\nMessage-ID: <a=0D=0A@b.example>\r\n"
    b"Subject: =?utf-8?q?S=0D=0ABcc:_x@y.example=00=0D=0A=0D=0Abody?=\r\n\r\nbody",
    "line ends of Unicode": "From: a\u2028b\x85c <e@example.com>\r\nTo: a\u2029b <t@example.com>\r\n"
    "Subject: a\u2028Bcc: x@y.example\x85Bcc: z\x0bq\x0c\x1c\x1d\x1e\r\n\r\nbody\u2028x".encode(),
    "halves of characters": b"From: =?utf-16-le?b?ANg=?= <e@example.com>\r\n"
    b"Subject: \xed\xa0\x80 =?utf-8?q?=ED=A0=80?=\r\n"
    b"Message-ID: <\xed\xa0\x80@b.example>\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA- +AAA-",
    "ten thousand references": b"From: e@example.com\r\nMessage-ID: <m@b.example>\r\nReferences: "
    + b" ".join(b"<%d@x.example>" % number for number in range(10_000))
    + b"\r\n\r\nbody",
    "references without end": b"From: e@example.com\r\nMessage-ID: <"
    + b"y" * 90_000
    + b"@x.example>\r\nReferences: <"
    + b"x" * 90_000
    + b">\r\n\r\nbody",
    "formulas": b"From: =cmd|' /C calc'!A0 <e@example.com>\r\nTo: @SUM(1) <t@example.com>\r\nSubject: =A1\r\n\r\nx",
    "an endless word that joins": HEAD
    + b"Content-Type: text/html; charset=utf-8\r\n\r\n"
    + "\u0639".encode() * 200_000,
    "many parts": multipart(*[NAME + b"a\r\n\r\n%d" % number for number in range(ATTACHMENTS_SHOWN + 1)]),
}


class Scripts(HTMLParser):
    """What a page would run that is not a file of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        own = str(given.get("src", "")).startswith("/static/")
        if (tag == "script" and not own) or any(name.startswith("on") for name in given):
            self.found.append(str(self.get_starttag_text()))


@pytest.fixture
def reader(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("operator"))
    return client


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.in_part(3)
def test_every_view_of_a_hostile_mail_answers_and_holds_no_script(reader: Client, account: Account, raw: bytes) -> None:
    message = store(account, raw)
    pages = [reverse("mailbox:messages"), reverse("mailbox:message_html", args=[message.pk])]
    pages += [f"{reverse('mailbox:message', args=[message.pk])}?view={view}" for view in VIEWS]
    for url in pages:
        response = reader.get(url)
        assert response.status_code == 200, url
        assert not Scripts.of(response.content.decode()), url
        assert len(response.content) < 2_500_000
    assert reader.get(reverse("mailbox:message_eml", args=[message.pk])).content == raw


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_every_attachment_of_a_hostile_mail_is_saved_byte_for_byte(
    reader: Client, account: Account, raw: bytes
) -> None:
    message = store(account, raw)
    for attachment in message.attachment_rows.all()[:5]:
        response = reader.get(reverse("mailbox:message_attachment", args=[message.pk, attachment.position]))
        assert hashlib.sha256(response.content).hexdigest() == attachment.digest
        assert response["Content-Disposition"].startswith("attachment")
        assert response["Content-Type"] in ("application/octet-stream", "application/pdf", "image/png", "text/plain")
        assert not set(attachment.filename) & set('/\\\r\n\u202e"<>')
        assert "Set-Cookie" not in response.headers


def test_what_was_odd_is_said_in_sentences(reader: Client, account: Account) -> None:
    raw = b"junk between\r\n" + letter("found")
    message = store(account, raw, parse_defects=list(mime_message.parse(raw).defects))
    shown = reader.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    assert "Lines in its header that are no header fields were skipped" in shown
    assert "JunkInHeaderDefect" not in shown


def test_one_sentence_stands_for_defects_of_one_kind_and_a_new_one_is_named() -> None:
    said = parse_warnings.sentences(["StartBoundaryNotFoundDefect", "MultipartInvariantViolationDefect", "OddDefect"])
    assert len(said) == 2
    assert "OddDefect" in said[1]


def test_a_text_of_millions_of_characters_is_shown_from_its_beginning(reader: Client, account: Account) -> None:
    message = store(account, HEAD + b"\r\n" + b"x" * 3_000_000)
    shown = reader.get(reverse("mailbox:message", args=[message.pk]), {"view": "text"}).content
    assert b"The first 200,000 characters are shown" in shown
    assert len(shown) < 300_000


def test_headers_of_megabytes_are_shown_from_their_beginning(reader: Client, account: Account) -> None:
    large = b"".join(b"X-%d: " % number + b"v" * 20_000 + b"\r\n" for number in range(300))
    message = store(account, HEAD + large + b"\r\nbody")
    shown = reader.get(reverse("mailbox:message", args=[message.pk]), {"view": "headers"}).content.decode()
    own = HEAD.count(b"\r\n")
    assert "X-8</th>" in shown and "X-9</th>" not in shown  # nine of them have less than 200,000 characters
    assert f"The first {own + 9} of {own + 300} headers are shown" in shown
    assert len(shown) < 300_000


def test_thousands_of_recipients_are_folded(reader: Client, account: Account) -> None:
    message = store(account, HOSTILE["ten thousand recipients"])
    shown = reader.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    assert "<summary>P &lt;p0@example.com&gt;" in shown
    assert "p5000@example.com" in shown


def test_many_attachments_are_counted_and_the_first_of_them_listed(reader: Client, account: Account) -> None:
    message = store(account, HOSTILE["many parts"])
    shown = reader.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    assert f"{ATTACHMENTS_SHOWN + 1} attachments, the first {ATTACHMENTS_SHOWN} listed" in shown
    assert f"files={ATTACHMENTS_SHOWN}" in shown
    page = reverse("mailbox:message", args=[message.pk])
    more = reader.get(page, {"files": ATTACHMENTS_SHOWN}).content.decode()
    assert f"{ATTACHMENTS_SHOWN + 1} attachments, 1 more listed" in more
    assert reverse("mailbox:message_attachment", args=[message.pk, ATTACHMENTS_SHOWN]) in more


def test_a_page_reads_as_many_rows_of_ten_thousand_attachments_as_it_lists(
    reader: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = store(account, multipart(TEXT, *[NAME + b"a\r\n\r\n%d" % number for number in range(10_000)]))
    assert message.attachment_rows.count() == mime_tree.MAX_PARTS - 1
    read: list[int] = []
    made = Attachment.from_db.__func__

    def counted(cls: type[Attachment], *args: Any) -> Any:
        read.append(1)
        return made(cls, *args)

    monkeypatch.setattr(Attachment, "from_db", classmethod(counted))
    with CaptureQueriesContext(connection) as queries:
        answer = reader.get(reverse("mailbox:message", args=[message.pk]))
    assert len(read) <= ATTACHMENTS_SHOWN + 1
    assert len(queries) <= 14
    assert len(answer.content) < 150_000


def test_a_folder_that_holds_a_mail_twice_is_named_once(reader: Client, account: Account) -> None:
    message = store(account, letter("twice"))
    place = message.places.get()
    place.pk, place.uid = None, place.uid + 1
    place.save()
    shown = reader.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    assert "INBOX</a> (2 copies)" in shown


def test_a_subject_without_end_does_not_push_the_mail_from_the_screen(reader: Client, account: Account) -> None:
    message = store(account, HOSTILE["a subject of a megabyte"])
    shown = reader.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    heading = shown[shown.index("<h1") : shown.index("</h1>")]
    assert heading.count("A") == 299
    assert "…" in heading
