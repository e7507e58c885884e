"""Delivery reports as servers write them, read without trust."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.bounces import dsn_report
from outbox.bounces.report import MAX_RECIPIENTS, MAX_WORDS, RecipientReport
from outbox.bounces.status_words import status_words

POSTFIX = b"""From: MAILER-DAEMON@mx.example.net (Mail Delivery System)\r
To: ops@example.com\r
Subject: Undelivered Mail Returned to Sender\r
Auto-Submitted: auto-replied\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary="r"\r
\r
--r\r
Content-Type: text/plain\r
\r
I'm sorry.\r
\r
--r\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.example.net\r
X-Postfix-Queue-ID: 4F2A\r
\r
Final-Recipient: rfc822; gone@elsewhere.example\r
Original-Recipient: rfc822;Gone@example.net\r
Action: failed\r
Status: 5.1.1\r
Diagnostic-Code: smtp; 550 5.1.1 <gone@example.net>: User unknown\r
    in virtual mailbox table\r
\r
Final-Recipient: rfc822; slow@example.net\r
Action: delayed\r
Status: 4.4.1\r
\r
--r\r
Content-Type: text/rfc822-headers\r
\r
Message-ID: <outbox-7-0@example.com>\r
X-PRX-Attempt: 5d1e\r
Subject: Hello\r
\r
--r--\r
"""
QMAIL = b"""From: MAILER-DAEMON@mx.example.net\r
To: ops@example.com\r
Subject: failure notice\r
\r
Hi. This is the qmail-send program at mx.example.net.\r
I'm afraid I wasn't able to deliver your message to the following addresses.\r
\r
<gone@example.net>:\r
550 5.1.1 No such user here\r
Giving up.\r
\r
--- Below this line is a copy of the message.\r
\r
Return-Path: <ops@example.com>\r
Message-ID: <outbox-7-0@example.com>\r
X-PRX-Attempt: 5d1e\r
\r
Hello\r
"""


def test_each_recipient_of_a_report_is_read_with_what_was_said_of_it() -> None:
    report = dsn_report.read(POSTFIX)
    assert report is not None
    assert (report.stamps.message_id, report.stamps.prx_attempt, report.reporter) == (
        "<outbox-7-0@example.com>",
        "5d1e",
        "mx.example.net",
    )
    words = "550 5.1.1 <gone@example.net>: User unknown in virtual mailbox table"
    assert report.recipients == (
        RecipientReport("Gone@example.net", "gone@elsewhere.example", "failed", "5.1.1", words),
        RecipientReport("slow@example.net", "slow@example.net", "delayed", "4.4.1", ""),
    )


def test_a_mail_returned_whole_tells_as_much_as_its_header() -> None:
    whole = POSTFIX.replace(b"text/rfc822-headers", b"message/rfc822").replace(
        b"Subject: Hello\r\n\r\n", b"Subject: Hello\r\n\r\nHello\r\n"
    )
    report = dsn_report.read(whole)
    assert report and (report.stamps.message_id, report.stamps.prx_attempt) == ("<outbox-7-0@example.com>", "5d1e")


def test_a_report_in_utf_8_and_one_that_a_gateway_wrapped_are_read_alike() -> None:
    international = POSTFIX.replace(b"message/delivery-status", b"message/global-delivery-status").replace(
        b"rfc822; slow@", b"utf-8; slow@"
    )
    wrapped = (
        b'Content-Type: multipart/mixed; boundary="w"\r\n\r\n--w\r\n'
        + POSTFIX[POSTFIX.index(b"Content-Type: multipart") :]
        + b"\r\n--w--\r\n"
    )
    for raw in (international, wrapped):
        report = dsn_report.read(raw)
        assert report and report.stamps.prx_attempt == "5d1e"
        assert [each.address for each in report.recipients] == ["Gone@example.net", "slow@example.net"]


def test_qmails_bounce_is_read() -> None:
    report = dsn_report.read(QMAIL)
    assert report and report.stamps.prx_attempt == "5d1e"
    (found,) = report.recipients
    assert (found.address, found.action, found.status_code) == ("gone@example.net", "failed", "5.1.1")
    assert found.words == "550 5.1.1 No such user here Giving up."


@pytest.mark.parametrize(
    "raw",
    [
        b"From: ann@example.com\r\nAuto-Submitted: auto-replied\r\nSubject: Away\r\n\r\nI am away.\r\n",
        POSTFIX.replace(b"delivery-status", b"disposition-notification"),
        POSTFIX.replace(b"Action: failed", b"Action: eaten")
        .replace(b"Action: delayed", b"")
        .replace(b"Status: ", b"X: "),
        QMAIL.replace(b"Message-ID", b"X-Id").replace(b"X-PRX-Attempt", b"X-Mark"),
        QMAIL.replace(b"MAILER-DAEMON@", b"ann@"),
        b"Return-Path: <>\r\nAuto-Submitted: auto-replied\r\n"
        + QMAIL.replace(b"MAILER-DAEMON@", b"ann@"),  # on holiday
        b"",
        b"\x00\xff" * 100,
    ],
)
def test_automatic_answers_receipts_and_rubbish_are_no_reports(raw: bytes) -> None:
    assert dsn_report.read(raw) is None


def test_hostile_reports_are_bounded() -> None:
    block = b"Final-Recipient: rfc822; u@example.net\r\nAction: failed\r\nDiagnostic-Code: smtp; " + b"x" * 5000
    flood = POSTFIX.replace(b"Final-Recipient: rfc822; slow@", (block + b"\r\n\r\n") * 300 + b"F: ")
    report = dsn_report.read(flood)
    assert report and len(report.recipients) <= MAX_RECIPIENTS
    assert max(len(each.words) for each in report.recipients) <= MAX_WORDS
    deep = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n" * 3000
    assert dsn_report.read(deep) is None
    nul = dsn_report.read(POSTFIX.replace(b"User unknown", b"User\x00unknown\xff"))
    assert nul and "\x00" not in nul.recipients[0].words


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(POSTFIX)), st.binary(max_size=20)), max_size=6))
def test_no_changed_bytes_raise_an_exception(changes: list[tuple[int, bytes]]) -> None:
    for original in (POSTFIX, QMAIL):
        raw = original
        for at, put in changes:
            raw = raw[:at] + put + raw[at + len(put) :]
        report = dsn_report.read(raw)
        assert report is None or all("\x00" not in each.address + each.words for each in report.recipients)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("5.1.1", "There is no such mailbox."),
        ("5.2.2", "The mailbox is full."),
        ("4.4.1", "The recipient's server does not answer."),
        ("5.7.26", "Neither SPF nor DKIM proves who sent the mail."),
        ("5.1.99", "Something is wrong with the address."),
        ("5.9.9", ""),
        ("2.1.5", ""),
        ("", ""),
    ],
)
def test_a_status_code_is_told_in_words(code: str, words: str) -> None:
    assert status_words(code) == words


@pytest.mark.parametrize(
    "action", ["failed", "Failed (bad mailbox)", "expired", "failed(5.1.1)", "(bad mailbox) failed", "discarded", ""]
)
@pytest.mark.parametrize("recipient", ["rfc822; bob@example.com", "rfc822; <bob@example.com>", "<bob@example.com>"])
def test_a_comment_behind_the_action_and_brackets_about_the_recipient_are_no_part_of_them(
    action: str, recipient: str
) -> None:
    report = dsn_report.read(
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n"
        + f"Final-Recipient: {recipient}\r\nAction: {action}\r\nStatus: 5.1.1\r\n\r\n--b--\r\n".encode()
    )
    assert report is not None
    assert [(each.address, each.action) for each in report.recipients] == [("bob@example.com", "failed")]


@pytest.mark.parametrize(
    "fields",
    [
        "Final-Recipient : rfc822; bob@example.com\r\nAction : failed\r\nStatus : 5.1.1\r\n",
        "  Final-Recipient: rfc822; bob@example.com\r\n  Action: failed\r\n  Status: 5.1.1\r\n",
        "Final-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nDiagnostic-Code: smtp; 550 5.1.1 no\r\n",
    ],
)
def test_fields_written_oddly_are_those_fields_and_a_mail_returned_in_the_text_is_the_one(fields: str) -> None:
    report = dsn_report.read(
        b'Content-Type: multipart/report; boundary="b"\r\n\r\n'
        b"--b\r\n\r\nIt failed.\r\n> Message-ID: <outbox-7-0@x.org>\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n"
        + f"{fields}\r\n--b--\r\n".encode()
    )
    assert report is not None and report.stamps.message_id == "<outbox-7-0@x.org>"
    assert [(each.address, each.action, each.status_code) for each in report.recipients] == [
        ("bob@example.com", "failed", "5.1.1")
    ]


@pytest.mark.parametrize(
    "said",
    [
        "gone@example.net adresine iletiniz teslim edilemedi",
        "Meddelandet kunde inte levereras till gone@example.net",
        "Zprávu se nepodařilo doručit příjemci gone@example.net",
        "Az üzenet nem kézbesíthető: gone@example.net",
        "Δεν ήταν δυνατή η παράδοση στο gone@example.net",
        "تعذر تسليم رسالتك إلى gone@example.net",
        "לא ניתן למסור את ההודעה אל gone@example.net",
        "ไม่สามารถส่งข้อความถึง gone@example.net",
        "Không thể gửi thư tới gone@example.net",
        "您发送的邮件被退回：gone@example.net 收件人不存在",  # noqa: RUF001
    ],
)
def test_a_text_in_any_of_these_languages_says_who_did_not_get_it(said: str) -> None:
    copy = "--- Below this line is a copy\n\nMessage-ID: <outbox-7-0@x.org>\n"
    report = dsn_report.read(f"From: Postmaster <robot@example.net>\n\n{said}\n\n{copy}".encode())
    assert report is not None
    assert [(each.address, each.action) for each in report.recipients] == [("gone@example.net", "failed")]


def test_an_address_in_utf_8_addr_xtext_is_read_whatever_its_letters() -> None:
    """RFC 6533, 3: two to five digits of hexadecimal, or six that begin with 10."""
    stated = rb"Final-Recipient: utf-8; \x{10D0}\x{1041}\x{10FFFD}\x{40}example.net"
    report = dsn_report.read(POSTFIX.replace(b"Final-Recipient: rfc822; slow@example.net", stated))
    assert report is not None
    assert report.recipients[-1].address.startswith("\u10d0\u1041\U0010fffd@")


@pytest.mark.parametrize(
    "stated",
    [
        "message/disposition-notification\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\n"
        "Disposition: manual-action/MDN-sent-manually; deleted\r\n",
        "message/global-disposition-notification\r\n\r\nDisposition: automatic-action/MDN-sent-automatically\r\n",
        "message/feedback-report\r\n\r\nFeedback-Type: not-spam\r\nUser-Agent: x/1\r\nVersion: 1\r\n",
        "message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nOriginal-Rcpt-To: <bob@example.org>\r\n",
    ],
)
def test_a_receipt_or_another_kind_of_report_is_no_failure_whatever_its_text_says(stated: str) -> None:
    text = "Your mail could not be delivered to <bob@example.org>: 550 5.1.1 no such user"
    parts = (
        f"Content-Type: text/plain\r\n\r\n{text}\r\n",
        f"Content-Type: {stated}",
        "Content-Type: message/rfc822\r\n\r\nMessage-ID: <outbox-7-0@example.com>\r\nX-PRX-Attempt: 5d1e\r\n\r\n",
    )
    head = "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.net\r\nContent-Type: multipart/report; boundary=B\r\n\r\n"
    raw = f"{head}{''.join(f'--B{chr(13)}{chr(10)}{part}' for part in parts)}--B--\r\n".encode()
    assert dsn_report.read(raw) is None
    without = raw.replace(stated.encode(), b"text/plain\r\n\r\n\r\n")
    assert dsn_report.read(without) is not None
