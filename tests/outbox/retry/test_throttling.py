"""Servers say in many ways that we send too fast: then the queue waits, and no mail loses an attempt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver as delivery_deliver
from outbox.delivery import outcomes
from outbox.models import OutboxMessage
from outbox.retry import policy as retry_policy
from outbox.retry.classification import classify
from outbox.retry.faults import Fault, Kind, Phase, Verdict
from outbox.smtp.mail import Delivery
from outbox.smtp.replies import Reply
from tests.servers.smtp import SinkMail, SmtpServer

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Accounts = Callable[..., Account]

# As servers are known to say it, where, and for how long we leave them alone after the first.
TOO_FAST = [
    (Phase.CONNECT, "421 4.7.0 Try again later, closing connection.", 60),  # Gmail
    (Phase.MAIL, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail.", 60),  # Gmail
    (Phase.AUTH, "454 4.7.0 Too many login attempts, please try again later.", 60),  # Gmail
    (Phase.MAIL, "421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume or user "
                 "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", 60),  # Yahoo
    (Phase.MAIL, "451 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume", 60),  # through a relay
    (Phase.DATA, "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more "
                 "information. [Hostname=P212321.PROD.OUTLOOK.COM]", 60),  # Office 365
    (Phase.DATA, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", 60),  # Office 365
    (Phase.MAIL, "421 4.4.2 Message submission rate for this client has exceeded the configured limit", 60),
    (Phase.MAIL, "451 4.4.2 Message submission rate for this client has exceeded the configured limit", 60),
    (Phase.RCPT, "451 4.7.500 Server busy. Please try again later from [192.0.2.7]. (S77)", 60),  # Exchange Online
    (Phase.RCPT, "451 4.7.650 The mail server [192.0.2.7] has been temporarily rate limited due to IP reputation.", 60),
    (Phase.DATA, "454 Throttling failure: Maximum sending rate exceeded.", 5),  # Amazon SES, so many a second
    (Phase.DATA, "454 Throttling failure: Maximum SigV2 SMTP sending rate exceeded.", 5),
    (Phase.DATA, "454 Throttling failure: Daily message quota exceeded.", 900),  # Amazon SES
    (Phase.MAIL, "450 4.7.1 Error: too much mail from 192.0.2.7", 60),  # Postfix (anvil)
    (Phase.RCPT, "450 4.7.1 Error: too many recipients from 192.0.2.7", 60),  # Postfix (anvil)
    (Phase.AUTH, "450 4.7.1 Error: too many AUTH commands from 192.0.2.7", 60),  # Postfix (anvil)
    (Phase.CONNECT, "421 4.7.0 mail.example.com Error: too many connections from 192.0.2.7", 60),  # Postfix (anvil)
    (Phase.TLS, "454 4.7.0 Error: too many new TLS sessions from 192.0.2.7", 60),  # Postfix (anvil)
    (Phase.MAIL, "452 4.3.2 Connection rate limit exceeded.", 60),  # sendmail
    (Phase.RCPT, '451 4.7.1 Ratelimit "user" exceeded', 60),  # rspamd
    (Phase.RCPT, "450 4.7.1 <ann>: SASL login name rejected: You are sending too many emails too fast.", 60),
    (Phase.RCPT, "450 Too many recipient attempts", 60),
    (Phase.RCPT, "451 rate limit exceeded", 60),
    (Phase.MAIL, "450 4.7.1 You have reached the limit of 100 mails per hour", 300),
    (Phase.MAIL, "451 4.7.1 Sending is limited, try again in 10 minutes", 600),
    (Phase.MAIL, "450 4.7.1 Please come back in 2 hours", 3600),  # an hour at most
]  # fmt: skip
SOMETHING_ELSE = [
    # About one of its users, whoever writes to him.
    (Phase.RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly.", Verdict.TRANSIENT),
    (Phase.RCPT, "450-4.2.1 The user you are trying to contact is receiving mail at a rate that\n450 prevents "
                 "additional messages from being delivered. Please resend at a later time.", Verdict.TRANSIENT),
    (Phase.RCPT, "452 4.2.2 The email account that you tried to reach is over quota.", Verdict.TRANSIENT),
    (Phase.RCPT, "450 4.1.1 User unknown, try again in 5 minutes", Verdict.TRANSIENT),
    # About sender and recipient.
    (Phase.RCPT, "451 4.7.1 Greylisting in action, please come back in 00:05:00", Verdict.TRANSIENT),
    (Phase.RCPT, "450 4.7.1 Grey listed, try again in 300 seconds", Verdict.TRANSIENT),
    # About this mail.
    (Phase.RCPT, "452 4.5.3 Error: too many recipients", Verdict.TRANSIENT),
    (Phase.RCPT, "452 Too many recipients", Verdict.TRANSIENT),
    (Phase.DATA, "451 4.3.0 Mail server temporarily rejected message.", Verdict.TRANSIENT),
    (Phase.DATA, "452 4.3.1 Insufficient system storage", Verdict.TRANSIENT),
    # About us, and waiting does not mend it.
    (Phase.RCPT, "450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.7]", Verdict.TRANSIENT),
    (Phase.MAIL, "451 4.7.1 Service unavailable - try again later", Verdict.TRANSIENT),
    (Phase.MAIL, "552 5.3.4 Message size exceeds fixed limit", Verdict.PERMANENT),
]  # fmt: skip


def fault(phase: Phase, words: str) -> Fault:
    return Fault(phase, Kind.REPLY, words, int(words[:3]))


@pytest.mark.parametrize(("phase", "words", "seconds"), TOO_FAST, ids=[words for _, words, _ in TOO_FAST])
def test_what_says_that_we_send_too_fast_makes_the_queue_wait(phase: Phase, words: str, seconds: float) -> None:
    assert classify(fault(phase, words)) is Verdict.THROTTLED
    assert retry_policy.unavailable_seconds(Verdict.THROTTLED, 1, words, 5, int(words[:3])) == seconds


@pytest.mark.parametrize(("phase", "words", "verdict"), SOMETHING_ELSE, ids=[words for _, words, _ in SOMETHING_ELSE])
def test_what_is_about_a_recipient_a_mail_or_for_good_holds_up_nothing_else(
    phase: Phase, words: str, verdict: Verdict
) -> None:
    assert classify(fault(phase, words)) is verdict


LIMIT, LONGER = Reply(451, "4.7.1 Rate limit exceeded"), Reply(451, "4.7.1 Rate limit, try again in 10 minutes")
UNKNOWN_USER, GREYLISTED = Reply(550, "5.1.1 User unknown"), Reply(451, "4.7.1 Greylisted, try again in 5 minutes")
SIGN_IN_FIRST = Reply(530, "5.7.0 Authentication required")


@pytest.mark.parametrize(
    ("replies", "told"),
    [
        ([LIMIT, LIMIT], LIMIT),
        ([LIMIT, LONGER], LONGER),  # however many recipients: the longest wait that one of them was told
        ([LONGER, LIMIT], LONGER),
        ([LIMIT, SIGN_IN_FIRST], SIGN_IN_FIRST),  # waiting does not mend it
        ([UNKNOWN_USER, LIMIT], None),  # the refusal for good is an answer that is kept
        ([LIMIT, UNKNOWN_USER], None),
        ([GREYLISTED, LIMIT], None),
        ([LIMIT, GREYLISTED], None),
        ([], None),
    ],
)
def test_the_queue_waits_only_when_each_recipient_was_refused_with_words_about_us(
    replies: list[Reply], told: Reply | None
) -> None:
    refused = {f"u{number}@example.test": reply for number, reply in enumerate(replies)}
    fault = outcomes.asked_to_wait(Delivery(refused=refused))
    assert (fault and fault.reply) == (told and str(told))


def test_a_mail_that_one_recipient_took_asks_nobody_to_wait() -> None:
    delivered = Delivery(["a@example.test"], {"b@example.test": LIMIT}, final=Reply(250, "Ok"))
    assert outcomes.asked_to_wait(delivered) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first_is_unknown", [True, False])
def test_a_limit_beside_a_recipient_who_is_refused_for_good_keeps_that_refusal_and_holds_up_nobody(
    account_on: Accounts, smtp_server: Callable[..., SmtpServer], first_is_unknown: bool
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    names = ["gone@example.test", "late@example.test"][:: 1 if first_is_unknown else -1]
    assert api.queue(account.pk, names, "To two", "A text.").ok
    assert api.queue(account.pk, "bob@example.test", "Another", "A text.").ok
    server.refuse("RCPT", str(UNKNOWN_USER), containing="gone@")
    server.refuse("RCPT", str(LIMIT), containing="late@")
    delivery_deliver.deliver_account(account.pk)
    to_two, another = OutboxMessage.objects.order_by("pk")
    assert another.status == "sent" and (to_two.status, to_two.hold) == ("failed", "")
    refused = dict(to_two.recipients.filter(status="refused").values_list("address", "reply_code"))
    assert refused["gone@example.test"] == 550


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "PIPELINING"])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "."])
def test_a_server_that_limits_the_rate_in_the_middle_of_a_queue_costs_no_mail_an_attempt(
    account_on: Accounts, smtp_server: Callable[..., SmtpServer], command: str, pipelining: bool
) -> None:
    """All that is left waits as long."""
    server = smtp_server("tls", pipelining=pipelining)
    account = account_on(server)
    for number in range(5):
        assert api.queue(account.pk, f"u{number}@example.test", f"Mail {number}", "A text.").ok
    if command == "MAIL":

        def deliver(mail: SinkMail) -> None:
            if len(server.mails()) == 2:
                server.refuse("MAIL", "451 4.7.1 Rate limit exceeded")

        server.deliver = deliver
    else:
        server.refuse(command, "451 4.7.1 Rate limit exceeded, try again in 7 minutes", containing="u2@")

    before = timezone.now()
    delivery_deliver.deliver_account(account.pk)

    assert [mail.rcpt_tos for mail in server.mails()] == [["u0@example.test"], ["u1@example.test"]]
    wait = timedelta(seconds=60 if command == "MAIL" else 420)
    rows = list(OutboxMessage.objects.order_by("pk"))
    assert [row.status for row in rows] == ["sent", "sent", "failed", "pending", "pending"]
    assert all(row.hold == "" and row.retries == 0 for row in rows)
    assert all(before + wait <= row.next_attempt_at <= timezone.now() + wait for row in rows[2:])
    assert rows[2].attempts.get().outcome == "throttled"
    assert sum(row.attempts.count() for row in rows[3:]) == 0
    assert not delivery_deliver.may_send(account.pk, timezone.now())

    server.accept()
    server.deliver = None
    later = timezone.now() + wait
    delivery_deliver.deliver_account(account.pk, clock=lambda: later)
    assert len(server.mails()) == 5 and sum(server.copies().values()) == len(server.copies())
