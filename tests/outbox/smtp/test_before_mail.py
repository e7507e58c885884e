"""What fails before MAIL is no mail's fault: the account's queue waits, and goes out when the server is mended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.outbox.smtp.pipelined import Accounts, Start, queue
from tests.servers.smtp_faults import Fault, Raw, Reply

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.wire,
]
FAULTS: list[tuple[str, Fault]] = [
    ("CONNECT", Reply("554 5.3.2 No SMTP service here")),
    ("CONNECT", Reply("550 5.7.1 Your address is blocked")),
    ("CONNECT", Raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    ("EHLO", Reply("550 5.7.1 Invalid EHLO argument")),
    ("EHLO", Reply("504 5.5.2 Need a fully-qualified name")),
    ("EHLO", Reply("502 5.5.1 No such command")),
    ("STARTTLS", Reply("554 5.7.3 Unable to initialize security subsystem")),
    ("STARTTLS", Reply("454 4.7.0 TLS not available")),
    ("AUTH", Reply("500 5.5.2 Line too long")),
    ("AUTH", Reply("504 5.7.4 Unrecognized authentication type")),
    ("AUTH", Reply("550 5.7.1 Not from here")),
    ("AUTH", Reply("554 5.7.0 Rejected")),
    ("AUTH", Reply("555 5.5.2 Syntax error, cannot decode response")),
]


def states() -> set[tuple[str, str]]:
    return set(OutboxMessage.objects.values_list("status", "hold"))


@pytest.mark.parametrize(("command", "fault"), FAULTS, ids=[f"{command} {fault}" for command, fault in FAULTS])
@pytest.mark.in_part(2)
def test_the_queue_waits_whatever_the_code_and_goes_out_when_the_server_is_mended(
    account_on: Accounts, smtp_server: Start, command: str, fault: Fault
) -> None:
    server = smtp_server("starttls", require_auth=True)
    account = account_on(server)
    server.on(command, fault)
    queue(account, 3)

    deliver.deliver_account(account.pk)

    assert states() <= {("pending", ""), ("failed", "")}
    assert DeliveryAttempt.objects.count() == 1  # nothing else was tried
    assert not deliver.may_send(account.pk, timezone.now())
    account.smtp.refresh_from_db()
    assert account.smtp.last_reply  # a person is told, by the server's words
    server.accept()
    deliver.deliver_account(account.pk, clock=lambda: timezone.now() + timedelta(minutes=6))
    assert states() == {("sent", "")} and len(server.mails()) == 3


def test_ten_failures_in_a_row_burn_no_mail(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("starttls", require_auth=True)
    account = account_on(server)
    server.on("EHLO", Reply("550 5.7.1 Invalid EHLO argument"))
    queue(account, 3)
    for minutes in range(0, 200, 20):
        deliver.deliver_account(account.pk, clock=lambda after=minutes: timezone.now() + timedelta(minutes=after))
    assert states() <= {("pending", ""), ("failed", "")}


@pytest.mark.parametrize(
    "offered", [{"security": "none"}, {"mechanisms": ("CRAM-MD5", "SCRAM-SHA-1")}], ids=["no STARTTLS", "no mechanism"]
)
def test_what_a_server_does_not_offer_holds_its_queue_and_no_mail(
    account_on: Accounts, smtp_server: Start, offered: dict[str, object]
) -> None:
    server = smtp_server(**({"security": "starttls", "require_auth": True} | offered))
    account = account_on(server, smtp_security="starttls")
    queue(account, 2)
    deliver.deliver_account(account.pk)
    assert states() <= {("pending", ""), ("failed", "")} and DeliveryAttempt.objects.count() == 1


@pytest.mark.parametrize("said", ["535 5.7.8 Not accepted", "525 5.7.13 User account disabled", "550 User is locked"])
def test_a_refused_sign_in_waits_for_a_sign_in(account_on: Accounts, smtp_server: Start, said: str) -> None:
    server = smtp_server("starttls", require_auth=True)
    account = account_on(server)
    server.on("AUTH", Reply(said))
    queue(account, 2)
    deliver.deliver_account(account.pk)
    assert states() == {("failed", "sign_in"), ("pending", "")}
    assert Account.objects.get().smtp.needs_sign_in_since


@pytest.mark.parametrize(
    "said",
    [
        "550 5.4.5 Daily user sending limit exceeded.",
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
        "550 Domain example.com has exceeded the max emails per hour (313/250 (125%)) allowed. Message discarded.",
    ],
)
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "."])
@pytest.mark.in_part(2)
def test_a_limit_told_with_5xx_stops_the_queue_at_the_first_and_a_person_is_told(
    account_on: Accounts, smtp_server: Start, command: str, said: str
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    server.on(command, Reply(said))
    queue(account, 4)

    deliver.deliver_account(account.pk)

    assert states() == {("pending", ""), ("failed", "")} and DeliveryAttempt.objects.get().outcome == "throttled"
    assert Account.objects.get().smtp.last_reply == said
    server.accept()
    deliver.deliver_account(account.pk, clock=lambda: timezone.now() + timedelta(hours=1))
    assert states() == {("sent", "")} and sorted(server.copies().values()) == [1] * 4


@pytest.mark.parametrize("said", ["552 5.5.3 Too many recipients", "552 Too many recipients", "452 4.5.3 Too many"])
def test_the_recipients_that_are_too_many_go_in_the_next_transaction(
    account_on: Accounts, smtp_server: Start, said: str
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    server.on("RCPT", Reply(said), containing="u2@", times=1)
    server.on("RCPT", Reply(said), containing="u3@", times=1)
    assert api.queue(account.pk, [f"u{n}@example.test" for n in range(4)], "To four", "A text.").ok
    deliver.deliver_account(account.pk)
    deliver.deliver_account(account.pk, clock=lambda: timezone.now() + timedelta(minutes=1))
    assert states() == {("sent", "")}
    assert [mail.rcpt_tos for mail in server.mails()] == [
        ["u0@example.test", "u1@example.test"],
        ["u2@example.test", "u3@example.test"],
    ]
