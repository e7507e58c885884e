"""More servers' forms of a report, read by themselves: each says that gone@example.net failed with 5.1.1."""

from __future__ import annotations

import base64

import pytest

from outbox.bounces import dsn_report
from tests.outbox.bounces.report_forms import HEADER, MAIL, RETURNED, STATUS, in_parts, part, plain

HEADERS = part("text/rfc822-headers", HEADER)
# What programs say before they return the mail.
TEXTS = {
    "yahoo": "Sorry, we were unable to deliver your message to the following address.\n\n<gone@example.net>:\n"
    "550: 5.1.1 unknown user account\n\n--- Below this line is a copy of the message.\n\n",
    "xmail": "[<00>] XMail bounce: Rcpt=[gone@example.net];Error=[550 5.1.1 no such user]\n\n\n"
    "[<01>] Error sending message [1] from [mx.example.net].\n\n[<05>] Here is listed the initial part:\n\n",
    "imail": "Invalid final delivery userid: gone@example.net. (5.1.1)\n\nOriginal message follows.\n\n",
    "t-online": "|------------------------- Failed addresses follow: ---------------------|\n"
    " <gone@example.net> ... unknown user (5.1.1)\n"
    "|------------------------- Message text follows: ------------------------|\n",
}
PARTS = {
    "groupwise": "The message that you sent was undeliverable to the following:\n"
    "\tgone (gone@example.net) (550 5.1.1 no such user)\n\nPossibly truncated original message follows:\n",
    "a group of Google's": "We're writing to let you know that the group you tried to contact (gone) may not exist, or "
    "you may not have permission to post messages to the group.\n\ngone@example.net\nstatus 5.1.1\n",
    "mdaemon": "The attached message had PERMANENT fatal delivery errors!\n\nFailed address: gone@example.net\n\n"
    "--- Session Transcript ---\n --> RCPT To:<gone@example.net>\n <-- 550 5.1.1 no such user\n",
    "opensmtpd": "    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this email.\n\n    An error has "
    "occurred while attempting to deliver a message for\n    the following list of recipients:\n\n"
    "gone@example.net: 550 5.1.1 no such user\n",
    "mail.ru": "К сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:\n\n"  # noqa: RUF001
    "gone@example.net:\nuser not found (5.1.1)\n",
    "exchange, French": "Échec de la remise pour ces destinataires ou groupes :\n\ngone@example.net\n(5.1.1).\n",
    "exchange, Japanese": "次の受信者またはグループへの配信に失敗しました:\n\ngone@example.net\n5.1.1\n",
    "exchange, Italian": "Recapito non riuscito per i seguenti destinatari:\n\ngone@example.net\n5.1.1\n",
    "exchange, Spanish": "Error de entrega para los siguientes destinatarios:\n\ngone@example.net\n5.1.1\n",
    "exchange, Dutch": "Bezorging aan deze geadresseerden is mislukt:\n\ngone@example.net 5.1.1\n",
    "exchange, Polish": "Dostarczenie do następujących odbiorców nie powiodło się:\n\ngone@example.net 5.1.1\n",
    "exchange, Korean": "다음 받는 사람에게 메시지를 배달하지 못했습니다.\n\ngone@example.net 5.1.1\n",
    "exchange, Russian": "Сбой доставки следующим получателям:\n\ngone@example.net 5.1.1\n",
}
PAGES = {
    "qq": "<div>抱歉</div><table><tr><td>收件人</td><td>gone@example.net</td></tr><tr><td>退信原因</td>"
    "<td>收件人邮件地址不存在 (5.1.1)</td></tr></table>",
    "naver": "<p>gone@example.net 님께 메일이 전송되지 못했습니다. 존재하지 않는 계정 5.1.1</p>",
    "exchange, German": "<p>Fehler bei der Nachrichtenzustellung an folgende Empfänger:</p>"
    "<p><a href=mailto:gone@example.net>gone@example.net</a></p><p>konnte nicht gefunden werden. 5.1.1</p>",
}
# Parts of RFC 3464, and what gateways make of them.
STATUSES = {
    "sendmail": STATUS.replace("rfc822;", "RFC822; "),
    "upper case": STATUS.upper().replace("GONE@EXAMPLE.NET", "Gone@Example.NET"),
    "blank lines with blanks": STATUS.replace("\n\n", "\n \t\n\n\n"),
    "words behind the status": STATUS.replace("5.1.1\nDiag", "5.1.1 (bad destination mailbox address)\nDiag"),
    "lines that end in CR CR LF": STATUS.replace("\n\n", "\n\r\n"),
    "no group of the mail": STATUS.partition("\n\n")[2],
    "one group for all": STATUS.replace("\n\n", "\n"),
    "a status that says nothing": STATUS.replace("Status: 5.1.1\n", "Status: 5\n"),
    "X.400": STATUS.replace(
        "Final-Recipient: rfc822;gone@example.net",
        "Final-Recipient: x400; /G=Gone/O=Example/\nOriginal-Recipient: rfc822;gone@example.net",
    ),
    "postfix": STATUS.replace("Diag", "Remote-MTA: dns; mx2.example.net\nDiag").replace(
        "550 5.1.1 no such user", "550 5.1.1 <gone@example.net>: Recipient\n    address rejected"
    ),
}


def _utf8(kind: str) -> str:
    return f"{kind}; charset=utf-8"


DELAYED = {
    "gmail": "** Delivery incomplete **\n\nThere was a temporary problem while delivering your message to "
    "gone@example.net. Gmail will retry for 47 more hours. You'll be notified if the delivery fails permanently.\n",
    "sendmail": "The following addresses had transient non-fatal errors\n<gone@example.net>\nWarning: message still "
    "undelivered after 4 hours\nWill keep trying until message is 5 days old\n",
    "German": "Die Zustellung an folgende Empfänger verzögert sich:\n\ngone@example.net\n",
    "Italian": "Il recapito è ritardato per i seguenti destinatari:\n\ngone@example.net\n",
    "Portuguese": "A entrega está atrasada para estes destinatários:\n\ngone@example.net\n",
    "Dutch": "De bezorging aan deze geadresseerden is vertraagd:\n\ngone@example.net\n",
    "Russian": "Доставка следующим получателям задерживается:\n\ngone@example.net\n",
    "Japanese": "次の受信者への配信が遅れています:\n\ngone@example.net\n",
    "Korean": "다음 받는 사람에게 배달이 지연되고 있습니다:\n\ngone@example.net\n",
    "Chinese": "向以下收件人的传递被延迟:\n\ngone@example.net\n",
    "Polish": "Dostarczanie do tych adresatów jest opóźnione:\n\ngone@example.net\n",
    "Turkish": "Bu alıcılara teslim gecikti:\n\ngone@example.net\n",  # noqa: RUF001
}
FORMS = {name: plain("MAILER-DAEMON@x.example", text) + RETURNED.encode() for name, text in TEXTS.items()}
FORMS |= {name: in_parts("postmaster@x.example", part(_utf8("text/plain"), text), MAIL) for name, text in PARTS.items()}
FORMS |= {name: in_parts("postmaster@x.example", part(_utf8("text/html"), page), MAIL) for name, page in PAGES.items()}
FORMS |= {
    name: in_parts("x@x.example", part("message/delivery-status", status), HEADERS, kind="report")
    for name, status in STATUSES.items()
}
STATUS_PART = part("message/delivery-status", STATUS)
CODED = {"Content-Transfer-Encoding: base64\n": base64.encodebytes(RETURNED.encode()).decode()}
FORMS |= {
    "the returned mail in base64": in_parts(
        "x@x.example", STATUS_PART, *(part("message/rfc822", code, field) for field, code in CODED.items())
    ),
    "the status in quoted-printable": in_parts(
        "x@x.example",
        part("message/delivery-status", STATUS.replace("gone@", "gone=40"),
             "Content-Transfer-Encoding: quoted-printable\n"),
        MAIL,
    ),
    "the returned mail first": in_parts("x@x.example", MAIL, STATUS_PART),
    "a report within": in_parts(
        "x@x.example", part("multipart/report; boundary=z", f"--z\n{STATUS_PART}\n--z\n{MAIL}\n--z--\n")
    ),
    "a header folded and quoted": in_parts(
        "postmaster@x.example",
        part("text/plain", "Delivery to gone@example.net failed: 5.1.1\n\n> Message-ID:\n>  <outbox-7-0@example.com>\n"
                           "> X-PRX-Attempt: 5d1e\n"),
    ),
}  # fmt: skip
NO_REPORTS = {
    "an answer from a holiday": in_parts(
        "ann@x.example", part("text/plain", "I am away until Monday; your mail was not read."), MAIL,
        more="Return-Path: <>\nAuto-Submitted: auto-replied\n",
    ),
    "an answer of a hosting panel's responder": in_parts(
        "ann@x.example", part("text/plain", "I am away; your mail was not read."), MAIL,
        more="Return-Path: <>\nPrecedence: auto_reply\n",
    ),
    "an answer by an inbox rule of Exchange": in_parts(
        "ann@x.example", part("text/plain", "I am away; your mail was not read."), MAIL,
        more="Return-Path: <>\nAuto-Submitted: auto-generated\nX-MS-Exchange-Inbox-Rules-Loop: ann@x.example\n",
    ),
    "a receipt": in_parts(
        "ann@x.example",
        part("message/disposition-notification",
             "Final-Recipient: rfc822;gone@example.net\nOriginal-Message-ID: <outbox-7-0@example.com>\n"
             "Disposition: manual-action/MDN-sent-manually; displayed\n"),
        HEADERS, more="Return-Path: <>\n",
    ),
    "a question whether one is a person": in_parts(
        "postmaster@x.example", part("text/plain", "Please confirm that you are a person by this link."), MAIL
    ),
    "a person's words": in_parts("ann@x.example", part("text/plain", "it failed: gone@example.net"), MAIL),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_report_of_this_form_is_read(form: str) -> None:
    report = dsn_report.read(FORMS[form])
    assert report and report.stamps.prx_attempt == "5d1e"
    found = [(each.address.lower(), each.action, each.status_code) for each in report.recipients]
    assert ("gone@example.net", "failed", "5.1.1") in found


@pytest.mark.parametrize("form", NO_REPORTS)
def test_what_is_no_report_is_none(form: str) -> None:
    assert dsn_report.read(NO_REPORTS[form]) is None


@pytest.mark.parametrize("words", DELAYED.values(), ids=DELAYED)
def test_a_warning_that_a_mail_still_waits_is_no_failure(words: str) -> None:
    report = dsn_report.read(in_parts("postmaster@x.example", part(_utf8("text/plain"), words), MAIL))
    assert report and [(each.address, each.action) for each in report.recipients] == [("gone@example.net", "delayed")]
