"""The sentences of providers and servers mean what their phase, code and words say together."""

from __future__ import annotations

import time

import pytest

from outbox.retry.classification import classify, is_for_now
from outbox.retry.faults import OPENING, Fault, Kind, Phase, Verdict
from tests.outbox.retry.provider_sentences import BEFORE_MAIL, CASES, SOURCES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.phase}: {case.said}")
def test_a_sentence_means_what_it_says_where_it_is_said(case: Case) -> None:
    assert classify(Fault(case.phase, Kind.REPLY, case.said, int(case.said[:3]))) is case.verdict


@pytest.mark.parametrize(
    ("phase", "said", "verdict"),
    [
        (Phase.RCPT, "550 Greylisted, try again later", Verdict.TRANSIENT),
        (Phase.MAIL, "554 5.7.1 Message temporarily deferred", Verdict.TRANSIENT),
        (Phase.DOT, "550 Requested action aborted: try again later", Verdict.TRANSIENT),
        (Phase.DOT, "554 All messages will be permanently deferred", Verdict.PERMANENT),
        (Phase.MAIL, "502 5.5.2 Error: command not recognized", Verdict.TRANSIENT),
        (Phase.MAIL, "550 Authentication is required", Verdict.SIGN_IN),
        (Phase.RCPT, "554 5.7.1 Please log in before you send", Verdict.SIGN_IN),
        (Phase.DOT, "550 5.7.26 Mail that is not authenticated is refused", Verdict.PERMANENT),
        (Phase.AUTH, "535 4.7.8 Error: Connection lost to authentication server", Verdict.THROTTLED),
        (Phase.AUTH, "535 Error: authentication failed: system busy", Verdict.THROTTLED),
        (Phase.AUTH, "535 Incorrect password, please try again later", Verdict.SIGN_IN),
        # Postfix with Dovecot, of a wrong password; Exchange Online, of a tenant without passwords; RFC 4954 6.
        (Phase.AUTH, "535 5.7.8 Error: authentication failed: (reason unavailable)", Verdict.SIGN_IN),
        (Phase.AUTH, "550 5.7.30 Basic authentication is not supported for Client Submission.", Verdict.SIGN_IN),
        (Phase.AUTH, "432 4.7.12 A password transition is needed", Verdict.SIGN_IN),
        (Phase.DATA, "432 4.3.2 Concurrent connections limit exceeded.", Verdict.THROTTLED),
        (Phase.AUTH, "432 4.3.2 Concurrent connections limit exceeded.", Verdict.THROTTLED),  # no new secret helps
        (Phase.AUTH, "432 4.3.2 Try again", Verdict.TRANSIENT),
        (Phase.MAIL, "554 5.1.8 Email Outgoing Blocked", Verdict.THROTTLED),  # Zoho, of the account
        (Phase.MAIL, "553 5.1.8 Sender domain does not exist", Verdict.PERMANENT),
        (Phase.MAIL, "450 4.7.1 Connection subject to rate control, try again later", Verdict.THROTTLED),
        (
            Phase.DOT,
            "450 4.7.1 The recipient has exceeded their message rate limit. Try again later.",
            Verdict.TRANSIENT,
        ),
        # Of our own mailbox, and with the code or the first words that a recipient's mailbox has, too.
        (Phase.MAIL, "451 Your mailbox has exceeded its hourly sending limit", Verdict.THROTTLED),
        (Phase.MAIL, "451 4.7.1 Your mailbox is sending too many messages", Verdict.THROTTLED),
        (Phase.MAIL, "452 4.2.2 You have exceeded your sending limit", Verdict.THROTTLED),
        (Phase.RCPT, "450 message count quota exceeded", Verdict.THROTTLED),  # Adit, which tells no code
        (Phase.RCPT, "550 5.2.2 Submission quota exceeded", Verdict.THROTTLED),
        (Phase.MAIL, "550 mailbox unavailable: Mail send limit exceeded", Verdict.THROTTLED),
        (Phase.MAIL, "552 5.3.4 Message size exceeds the sending limit", Verdict.PERMANENT),
        (Phase.MAIL, "552 5.3.4 The mail exceeded the outgoing limit of 25 MB", Verdict.PERMANENT),
        (Phase.RCPT, "450 4.3.2 The mailbox is receiving too many messages", Verdict.TRANSIENT),
        (Phase.DOT, "452 4.4.5 Insufficient disk space; try again later", Verdict.TRANSIENT),  # sendmail
        (Phase.DOT, "452 4.4.2 Connection to the relay lost", Verdict.UNCERTAIN),
        (Phase.DOT, "452 4.4.1 The next host failed", Verdict.UNCERTAIN),
        (Phase.RCPT, "452 4.7.1 Your mailbox has exceeded the hourly limit of messages", Verdict.THROTTLED),
        (Phase.RCPT, "450 4.7.1 The sender's mailbox has exceeded its hourly limit", Verdict.THROTTLED),
        (Phase.RCPT, "450 4.7.1 Mailbox is sending too fast", Verdict.THROTTLED),
        (Phase.RCPT, "450 4.7.1 Mailbox has too many connections, it is busy", Verdict.TRANSIENT),
        (Phase.RCPT, "550 Domain frequency limited", Verdict.THROTTLED),
        (Phase.MAIL, "451 MI:SFQ", Verdict.THROTTLED),
        (Phase.MAIL, "552 Quota exceeded for the day", Verdict.THROTTLED),
        (Phase.MAIL, "550 You are not allowed to send mail, your account is suspended", Verdict.THROTTLED),
        (Phase.RCPT, "550-Please turn on SMTP Authentication in your mail client.", Verdict.SIGN_IN),
        (Phase.RCPT, "550 5.7.1 Sender not authenticated by SPF", Verdict.PERMANENT),
        (Phase.MAIL, "450 4.7.1 You've exceeded your sending limit for the day", Verdict.THROTTLED),
        (Phase.MAIL, "550 User ann exceeded message quota for last 24 hours", Verdict.THROTTLED),
        (Phase.RCPT, "552 5.2.0 Number of recipients per day exceeded", Verdict.THROTTLED),
        (
            Phase.DOT,
            "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
            Verdict.THROTTLED,
        ),
        (
            Phase.DOT,
            "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending "
            "email to external recipients",
            Verdict.THROTTLED,
        ),
        # In answer to the end of the mail: that we send too much is a decision, that the connection ends is a question.
        (Phase.DOT, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail", Verdict.THROTTLED),
        (Phase.DOT, "421 RP-001 The mail server IP has exceeded the rate limit allowed.", Verdict.THROTTLED),
        (Phase.DOT, "421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred", Verdict.THROTTLED),
        (Phase.DOT, "421 4.4.2 Message submission rate for this client has exceeded the limit", Verdict.UNCERTAIN),
        (Phase.DOT, "421 Rate limit service: connection lost", Verdict.UNCERTAIN),
        (Phase.DOT, "421 4.7.0 Try again later, closing connection.", Verdict.UNCERTAIN),
        (Phase.DOT, "421", Verdict.UNCERTAIN),
        # In other languages.
        (Phase.DOT, "554 发送频率过高，请稍后再试", Verdict.THROTTLED),  # noqa: RUF001
        (Phase.DOT, "550 今日发信数量超过限制", Verdict.THROTTLED),
        (Phase.MAIL, "550 Лимит отправки писем исчерпан", Verdict.THROTTLED),
        (Phase.MAIL, "550 Sie haben Ihr Sendelimit überschritten", Verdict.THROTTLED),
        (Phase.MAIL, "550 Limite d'envoi dépassée", Verdict.THROTTLED),
        (Phase.MAIL, "550 送信制限を超えました", Verdict.THROTTLED),
        (Phase.MAIL, "550 하루 발송량을 초과했습니다", Verdict.THROTTLED),
        (
            Phase.RCPT,
            "550 Empfänger vorübergehend nicht erreichbar, bitte versuchen Sie es später erneut",
            Verdict.TRANSIENT,
        ),
        (Phase.RCPT, "550 服务器忙，请稍后再试", Verdict.TRANSIENT),  # noqa: RUF001
        (Phase.DOT, "552 您发送的邮件大小超过限制", Verdict.PERMANENT),
        (Phase.RCPT, "550 收件人不存在", Verdict.PERMANENT),
        (Phase.RCPT, "550 Пользователь не найден", Verdict.PERMANENT),
        (Phase.DOT, "552 Размер письма превышает лимит для исходящих писем", Verdict.PERMANENT),
    ],
)
def test_words_that_say_more_than_their_code(phase: Phase, said: str, verdict: Verdict) -> None:
    assert classify(Fault(phase, Kind.REPLY, said, int(said[:3]))) is verdict


def test_there_are_sentences_of_many_providers_each_with_its_source() -> None:
    assert len(CASES) >= 100 and len({case.said for case in CASES if case.source in SOURCES}) >= 100
    assert {case.source for case in CASES} == SOURCES.keys()


@pytest.mark.parametrize("phase", OPENING)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.said)
def test_before_mail_nothing_is_permanent_and_nothing_is_a_question(case: Case, phase: Phase) -> None:
    verdict = classify(Fault(phase, Kind.REPLY, case.said, int(case.said[:3])))
    assert verdict in (Verdict.TRANSIENT, Verdict.THROTTLED, Verdict.SIGN_IN)
    assert verdict is not Verdict.SIGN_IN or phase is Phase.AUTH


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("phase", OPENING)
@pytest.mark.parametrize("code", [*range(400, 600, 7), None])
def test_whatever_fails_before_mail_is_tried_again_or_waits_for_a_sign_in(
    phase: Phase, kind: Kind, code: int | None
) -> None:
    verdict = classify(Fault(phase, kind, "words", code))
    assert verdict in (Verdict.TRANSIENT, Verdict.THROTTLED, Verdict.SIGN_IN)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("452 4.5.3 Error: too many recipients", True),
        ("552 Too many recipients", True),  # meant as 452 (RFC 5321 4.5.3.1.10)
        ("550 5.5.3 Too many recipients", True),
        ("552 Recipient limit exceeded", True),
        ("550 Maximum number of recipients exceeded", True),
        ("554 More than 100 recipients", True),
        ("550 Recipients per session exceeded", True),
        ("552 Recipient mailbox limit exceeded", False),
        ("550 Too many invalid recipients", False),
        ("550 Message limit exceeded for this account", True),
        ("554 5.7.1 Message rejected due to sending limits", True),
        ("550 You are sending too fast", True),
        ("552 Message size limit exceeded", False),
        ("550 Attachments per message limit exceeded", False),
        ("552 5.2.2 The email account that you tried to reach is over quota.", False),
        ("550 5.1.1 No such user", False),
        ("450 4.2.1 Too quickly", True),
        ("550 5.4.5 Daily user sending limit exceeded.", True),
    ],
)
def test_who_is_refused_for_now_is_tried_again(said: str, expected: bool) -> None:
    assert is_for_now(int(said[:3]), said[4:]) is expected


def test_the_words_of_a_hostile_server_cost_no_time() -> None:
    """A reply is at most 2,000 characters."""
    begun = time.process_time()
    for piece in ("exceeded ", "connection ", "limit per ", "5.4.", "too many ", "lost ", "auth ", "a"):
        classify(Fault(Phase.DOT, Kind.REPLY, piece * (2000 // len(piece)), 550))
        classify(Fault(Phase.AUTH, Kind.REPLY, piece * (2000 // len(piece)), 550))
    assert time.process_time() - begun < 2  # seconds of CPU


def test_the_table_of_sentences_before_mail_covers_each_step() -> None:
    assert {case.phase for case in BEFORE_MAIL} == set(OPENING)
