"""Reports are asked for by mark and recipient (DSN, RFC 3461), which costs no round trip and never a mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.models import Account
from outbox import api
from outbox.bounces import matching as bounces_matching
from outbox.delivery import deliver
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage
from outbox.smtp import dsn
from outbox.smtp.dsn import from_xtext, xtext
from outbox.smtp.mail_transaction import MailTransaction
from outbox.smtp.replies import Reply
from tests.outbox.bounces.test_dsn_report import POSTFIX
from tests.rows import NOWHERE, attempt, outbox_row, store
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Reply as Refusal

Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
in_database = pytest.mark.django_db(transaction=True)
pytestmark = pytest.mark.wire
WAYS = [{}, {"pipelining": True}]
BY_NAME = ["one by one", "PIPELINING"]


@pytest.fixture(autouse=True)
def nothing_learned_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dsn, "_without", set())
    yield


def each_went_once_and_at_once(rows: Sequence[OutboxMessage], server: SmtpServer) -> None:
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.retries, row.attempts.count()) == ("sent", 0, 1)
    assert len(server.mails()) == len(rows) and set(server.copies().values()) == {1}


@given(st.text())
def test_xtext_is_one_word_of_printable_ascii_and_reads_back(text: str) -> None:
    text = "".join(char for char in text if ord(char) < 128)
    written = xtext(text)
    assert all("!" <= char <= "~" and char != "=" for char in written)
    assert from_xtext(written) == text


def test_an_address_with_a_plus_is_written_as_the_rfc_asks_and_one_that_is_not_ascii_not_at_all() -> None:
    assert dsn.of_recipient("ann+list@example.net") == " NOTIFY=FAILURE,DELAY ORCPT=rfc822;ann+2Blist@example.net"
    assert dsn.of_recipient("änn@example.net") == ""
    assert dsn.of_recipient("+" * 200 + "@example.net") == ""


@pytest.mark.parametrize(
    ("code", "words", "answer"),
    [
        (501, "5.5.4 Bad ENVID parameter syntax", True),
        (501, "5.5.4 Error: Bad ORCPT parameter syntax", True),
        (555, "5.5.4 Unsupported option: ENVID", True),
        (504, "Command parameter not implemented", True),
        (500, "Syntax error", True),
        (501, "5.1.3 Bad recipient address syntax", False),
        (501, "5.1.7 Bad sender address syntax", False),
        (550, "5.1.1 No such user", False),
        (451, "4.3.0 Later", False),
        (250, "2.1.0 Ok", False),
    ],
)
def test_a_refusal_that_may_mean_the_parameters(code: int, words: str, answer: bool) -> None:
    assert dsn.may_be_about_it(Reply(code, words)) is answer


def queue(account: Account, count: int = 3, domain: str = "example.test") -> list[OutboxMessage]:
    for number in range(count):
        assert api.queue(account.pk, f"u+{number}@{domain}", f"Mail {number}", "A text.").ok
    return list(OutboxMessage.objects.order_by("pk"))


@in_database
@pytest.mark.parametrize("offered", WAYS, ids=BY_NAME)
def test_each_mail_gives_its_mark_and_its_recipients_where_the_server_offers_it(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool]
) -> None:
    server = smtp_server("tls", dsn=True, **offered)
    account = account_on(server)
    rows = queue(account)
    deliver.deliver_account(account.pk)

    marks = [row.attempts.get().prx_attempt for row in rows]
    assert [line.split(" ENVID=")[1].split(" ")[0] for line in server.said("MAIL")] == marks
    assert all(" RET=HDRS " in line for line in server.said("MAIL"))
    assert [line.split("> ")[1] for line in server.said("RCPT")] == [
        f"NOTIFY=FAILURE,DELAY ORCPT=rfc822;u+2B{number}@example.test" for number in range(3)
    ]
    assert len(server.mails()) == 3 and set(server.copies().values()) == {1}
    assert all(f"X-PRX-Attempt: {mark}".encode() in mail.raw for mark, mail in zip(marks, server.mails(), strict=True))


@in_database
def test_a_server_that_does_not_offer_it_is_told_nothing(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    queue(account)
    deliver.deliver_account(account.pk)
    assert not [line for line in server.said("MAIL") + server.said("RCPT") if "ENVID" in line or "ORCPT" in line]
    assert len(server.mails()) == 3


@in_database
@pytest.mark.parametrize("offered", WAYS, ids=BY_NAME)
@pytest.mark.parametrize(
    ("command", "parameter", "words"),
    [
        ("MAIL", "ENVID", "501 5.5.4 Bad ENVID parameter syntax"),
        ("MAIL", "ENVID", "555 5.5.4 Unsupported option: ENVID"),
        ("RCPT", "ORCPT", "501 5.5.4 Bad ORCPT parameter syntax"),
        ("RCPT", "NOTIFY", "504 Command parameter not implemented"),
    ],
)
def test_a_server_that_offers_it_and_refuses_it_gets_the_mail_without_and_is_not_asked_again(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool], command: str, parameter: str, words: str
) -> None:
    server = smtp_server("tls", dsn=True, **offered)
    server.on(command, Refusal(words), containing=parameter)
    account = account_on(server)
    rows = queue(account)
    deliver.deliver_account(account.pk)

    each_went_once_and_at_once(rows, server)
    assert len([line for line in server.said(command) if parameter in line]) == 1
    assert server.connections == 1


@in_database
@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
def test_refused_behind_a_mail_that_was_taken_with_them_it_goes_without(
    account_on: Accounts, smtp_server: Start, command: str
) -> None:
    """The first mail was taken with the parameters; then the server has another opinion (one host name, many
    machines)."""
    server = smtp_server("tls", dsn=True, pipelining=True)

    def taken(mail: SinkMail) -> None:
        server.deliver = None
        server.on(command, Refusal("555 5.5.4 Unsupported option"), containing="ENVID" if command == "MAIL" else "ORC")

    server.deliver = taken
    account = account_on(server)
    rows = queue(account)
    deliver.deliver_account(account.pk)

    each_went_once_and_at_once(rows, server)
    assert server.connections == 1


@in_database
@pytest.mark.parametrize(("command", "parameter"), [("MAIL", "ENVID"), ("RCPT", "ORCPT")])
def test_what_another_session_learns_while_the_envelope_is_on_its_way_makes_no_refusal_the_mails(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch, command: str, parameter: str
) -> None:
    server = smtp_server("tls", dsn=True, pipelining=True)
    server.on(command, Refusal("555 5.5.4 Unsupported option"), containing=parameter)
    real = MailTransaction._say

    async def say(session: MailTransaction, *lines: str) -> None:
        await real(session, *lines)
        if lines[0].startswith("MAIL"):
            dsn.do_without(session._endpoint)

    monkeypatch.setattr(MailTransaction, "_say", say)
    rows = queue(account_on(server), 2)
    deliver.deliver_account(rows[0].account_id)

    each_went_once_and_at_once(rows, server)


@in_database
@pytest.mark.parametrize("offered", WAYS, ids=BY_NAME)
def test_an_address_that_is_refused_either_way_is_no_reason_to_ask_for_no_reports(
    account_on: Accounts, smtp_server: Start, offered: dict[str, bool]
) -> None:
    server = smtp_server("tls", dsn=True, **offered)
    server.on("RCPT", Refusal("501 Invalid address"), containing="u+0@")
    account = account_on(server)
    rows = queue(account)
    deliver.deliver_account(account.pk)

    assert [OutboxMessage.objects.get(pk=row.pk).status for row in rows] == ["failed", "sent", "sent"]
    assert OutboxMessage.objects.get(pk=rows[0].pk).hold == "permanent"
    assert "ENVID" in server.said("MAIL")[-1] and "ORCPT" in server.said("RCPT")[-1]


@in_database
def test_of_several_recipients_only_those_who_lack_the_mail_get_it_after_such_a_refusal(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls", dsn=True, pipelining=True)
    server.on("RCPT", Refusal("501 5.5.4 Bad ORCPT"), containing="bob@example.test> NOTIFY")
    server.on("RCPT", Refusal("550 5.1.1 No such user"), containing="gone@")
    account = account_on(server)
    assert api.queue(account.pk, "ann@example.test, bob@example.test, gone@example.test", "To all", "A text.").ok
    deliver.deliver_account(account.pk)

    assert [mail.rcpt_tos for mail in server.mails()] == [["ann@example.test", "bob@example.test"]]
    row = OutboxMessage.objects.get()
    states = {each.address.partition("@")[0]: each.status for each in row.recipients.all()}
    assert (row.hold, states) == ("permanent", {"ann": "accepted", "bob": "accepted", "gone": "refused"})


# --- What comes back --------------------------------------------------------------------------------------------
@pytest.fixture
def sent(account: Account) -> DeliveryAttempt:
    row = outbox_row(account, status="sent")
    row.recipients.create(kind="to", address="ann+list@example.net", status="accepted")
    return attempt(row, outcome="accepted", prx_attempt="ab" * 16, data_at=row.created_at)


def report_without_the_mail(envelope_id: str, original: str) -> bytes:
    """Nothing of the mail comes back, and it was forwarded: only what we gave with the envelope tells whose it is."""
    head, _, _ = POSTFIX.partition(b"--r\r\nContent-Type: text/rfc822-headers")
    raw = head.replace(b"rfc822;Gone@example.net", b"rfc822;" + original.encode()) + b"--r--\r\n"
    return raw.replace(b"Reporting-MTA:", f"Original-Envelope-Id: {envelope_id}\r\nReporting-MTA:".encode())


@in_database
@pytest.mark.parametrize("original", ["Ann+list@example.net", "ann+2Blist@example.net"], ids=["plain", "xtext"])
def test_a_report_that_returns_nothing_of_the_mail_is_tied_by_what_was_given_with_the_envelope(
    account: Account, sent: DeliveryAttempt, original: str
) -> None:
    message = store(account, report_without_the_mail("ab" * 16, original))
    assert bounces_matching.read_message(message.pk) == 2
    failed = DeliveryReport.objects.get(action="failed")
    assert failed.recipient and failed.recipient.address == "ann+list@example.net"
    assert failed.is_proven and failed.outbox_id == sent.outbox_id
    assert failed.address.lower() == "ann+list@example.net"


@in_database
def test_an_envelope_id_that_is_not_ours_says_nothing_and_hinders_nothing(
    account: Account, sent: DeliveryAttempt
) -> None:
    assert bounces_matching.read_message(store(account, report_without_the_mail("cd" * 16, "ann@example.net")).pk) == 0
    gateway = POSTFIX.replace(b"Reporting-MTA:", b"Original-Envelope-Id: GATEWAY-7\r\nReporting-MTA:")
    gateway = gateway.replace(b"X-PRX-Attempt: 5d1e\r\n", b"").replace(
        b"<outbox-7-0@example.com>", sent.message_id.encode()
    )
    assert bounces_matching.read_message(store(account, gateway).pk) == 2
    assert not DeliveryReport.objects.filter(is_proven=True).exists()


@in_database
def test_a_returned_header_with_a_wrong_mark_is_a_forgery_whatever_the_envelope_id(
    account: Account, sent: DeliveryAttempt
) -> None:
    raw = POSTFIX.replace(b"Reporting-MTA:", b"Original-Envelope-Id: " + b"ab" * 16 + b"\r\nReporting-MTA:")
    assert bounces_matching.read_message(store(account, raw).pk) == 0


@in_database
def test_an_envelope_id_of_another_account_ties_nothing(
    make_account: Callable[..., Account], sent: DeliveryAttempt
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    assert bounces_matching.read_message(store(other, report_without_the_mail("ab" * 16, "ann@example.net")).pk) == 0
