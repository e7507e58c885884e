"""Servers that each fail in a way of their own, at once and beside good ones: nobody waits, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from mailbox.models import Account
from outbox import api
from outbox.delivery.worker import DeliveryRunner
from outbox.models import OutboxMessage
from tests.servers.certificates import Certificates
from tests.servers.odd_smtp import USUAL, OddServer, Talk

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
Accounts = Callable[..., Account]
Does = Callable[[Talk], bytes | None]
MAILS = 2
TAKEN = USUAL["."]


def says(octets: bytes) -> Does:
    return lambda talk: octets


def drips(talk: Talk) -> None:
    while True:
        talk.drip(b"2", 0.1)


def takes_and(then: Does) -> Does:
    def act(talk: Talk) -> bytes | None:
        talk.take()
        return then(talk)

    return act


def says_and(octets: bytes, then: Does) -> Does:
    def act(talk: Talk) -> bytes | None:
        talk.say(octets)
        return then(talk)

    return act


def at_second_mail(act: Does, usual: bytes) -> Does:
    return lambda talk: act(talk) if talk.mails else usual


WAITS, QUESTION = ("failed", ""), ("failed", "uncertain")
SIGN_IN, REFUSED = ("failed", "sign_in"), ("failed", "permanent")
SENT = ("sent", "")
# What it does, what becomes of the first mail, and words that the operator sees of it.
KINDS: dict[str, tuple[dict[str, Does], tuple[str, str], str]] = {
    "never shakes hands": ({"TLS": Talk.hang}, WAITS, "did not answer in time"),
    "speaks clear text where TLS begins": ({"TLS": says_and(b"220 hello\r\n", Talk.hang)}, WAITS, "TLS with localhost"),
    "never greets": ({"CONNECT": Talk.hang}, WAITS, "did not answer in time"),
    "greets octet by octet without end": ({"CONNECT": drips}, WAITS, "did not answer in time"),
    "greets in one line without end": ({"CONNECT": says(b"2" * 70_000)}, WAITS, "reply line does not end"),
    "greets line by line without end": ({"CONNECT": says(b"220-x\r\n" * 20_000)}, WAITS, "reply does not end"),
    "greets twice": ({"CONNECT": says(b"220 a\r\n220 b\r\n")}, WAITS, "none to what it was asked: 220 b"),
    "greets as a web server": ({"CONNECT": says(b"HTTP/1.1 400 Bad Request\r\n\r\n")}, WAITS, "no SMTP reply"),
    "greets with NUL and 8-bit": ({"CONNECT": says(b"220 \0\xff\xfe\r\n")}, SENT, ""),
    "takes no mail": ({"CONNECT": says(b"554 5.7.1 No mail here\r\n")}, WAITS, "554 5.7.1 No mail here"),
    "says yes and no to EHLO": ({"EHLO": says(b"250-localhost\r\n550 No\r\n")}, WAITS, "contradict each other"),
    "offers next to nothing": ({"EHLO": says(b"250\r\n")}, WAITS, "offers no sign-in at all"),
    "refuses the sign-in": ({"AUTH": says(b"535 5.7.8 Wrong\r\n")}, SIGN_IN, "535 5.7.8 Wrong"),
    "is resetting at AUTH": ({"AUTH": Talk.reset}, WAITS, "closed the connection"),
    "greylists": ({"RCPT": says(b"450 4.2.0 Greylisted\r\n"), "DATA": says(b"503 Who?\r\n")}, WAITS, "Greylisted"),
    "has had enough at RCPT": ({"RCPT": says(b"421 4.7.0 Slow down\r\n")}, WAITS, "421 4.7.0 Slow down"),
    "answers RCPT twice": ({"RCPT": says(b"250 a\r\n250 b\r\n")}, WAITS, "do not belong together"),
    "never answers DATA": ({"DATA": Talk.hang}, WAITS, "did not answer in time"),
    "says yes before the mail": ({"BODY": says(TAKEN)}, WAITS, "before the mail was there"),
    "says no before the mail": ({"BODY": says(b"552 5.3.4 Too large\r\n")}, REFUSED, "552 5.3.4 Too large"),
    "takes it and resets": ({".": takes_and(Talk.reset)}, QUESTION, "closed the connection"),
    "takes it and is silent": ({".": takes_and(Talk.hang)}, QUESTION, "did not answer in time"),
    "takes it and says two words": ({".": takes_and(says(TAKEN + b"550 No\r\n"))}, QUESTION, "more behind it: 550 No"),
    "takes it and greets": ({".": takes_and(says(b"220 localhost\r\n"))}, QUESTION, "none to what it was asked: 220"),
    "takes it, says so and closes": ({".": takes_and(says_and(TAKEN, Talk.close))}, SENT, ""),
    "ends each session at its second mail": ({"MAIL": at_second_mail(Talk.reset, USUAL["MAIL"])}, SENT, ""),
    "never answers QUIT": ({"QUIT": Talk.hang}, SENT, ""),
}


def queue(account: Account, count: int) -> list[int]:
    answers = [api.queue(account.pk, f"u{n}@example.test", f"Mail {n}", "A text.") for n in range(count)]
    return [answer.data.outbox_id for answer in answers if answer.data]


def test_many_servers_that_fail_at_once_hold_up_no_good_one_and_no_mail_is_lost_or_doubled(
    account_on: Accounts, certificates: Certificates, settings: Settings
) -> None:
    settings.OUTBOX_SESSIONS = 4
    settings.CONNECT_TIMEOUT_SECONDS = settings.COMMAND_TIMEOUT_SECONDS = settings.FINAL_DOT_TIMEOUT_SECONDS = 5
    odd = {name: OddServer(certificates, does) for name, (does, *_) in KINDS.items()}
    good = [OddServer(certificates) for _ in range(3)]
    rows = {name: queue(account_on(server), MAILS) for name, server in odd.items()}  # type: ignore[arg-type]
    for server in good:
        queue(account_on(server), 5)  # type: ignore[arg-type]
    runner = DeliveryRunner()
    runner.run(120)
    while runner._rounds:  # those that went on in the background
        time.sleep(0.05)

    assert [sorted(server.taken.values()) for server in good] == [[1] * 5] * 3
    for name, (_does, state, words) in KINDS.items():
        first = OutboxMessage.objects.get(pk=rows[name][0])
        assert (name, first.status, first.hold) == (name, *state) and words in first.error, (name, first.error)

    for server in odd.values():
        server.does = {}
    later = timezone.now() + timedelta(hours=1)
    DeliveryRunner(clock=lambda: later).run(120)
    for name, pks in rows.items():
        states = set(OutboxMessage.objects.filter(pk__in=pks).values_list("status", "hold"))
        left = {("pending", "")} if KINDS[name][1] == SIGN_IN else set()  # until a person signs in
        assert states <= {SENT, KINDS[name][1], *left} - {WAITS}, (name, states)
    assert all(set(server.taken.values()) <= {1} for server in odd.values())
    sent = OutboxMessage.objects.sent().filter(pk__in=[pk for pks in rows.values() for pk in pks])
    assert {row.provider_message_id for row in sent} <= {each for server in odd.values() for each in server.taken}
    for server in [*odd.values(), *good]:
        server.stop()
