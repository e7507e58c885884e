"""What a program asks of reports about its mail (DSN, RFC 3461) is kept, and said to the provider in place of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from api.submission import dsn_parameters
from api.submission.dsn_parameters import OF_MAIL, OF_RCPT
from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.api.submitting import MAIL, Submission, submission, token_of
from tests.servers.smtp import SmtpServer

__all__ = ["submission"]
LONGEST = "x" * 100


@pytest.mark.parametrize(
    ("said", "rest", "found"),
    [
        ("FROM:<a@example.com>", "FROM:<a@example.com>", ""),
        ("FROM:<a@example.com> SIZE=7 RET=hdrs", "FROM:<a@example.com> SIZE=7", "RET=HDRS"),
        ("FROM:<a@example.com> envid=Ab+2Bc> BODY=8BITMIME", "FROM:<a@example.com> BODY=8BITMIME", "ENVID=Ab+2Bc>"),
        ('FROM:<"a RET=HDRS"@example.com>', 'FROM:<"a RET=HDRS"@example.com>', ""),
        (f"FROM:<a@example.com>  RET=FULL   ENVID={LONGEST}", "FROM:<a@example.com>", f"RET=FULL ENVID={LONGEST}"),
    ],
)
def test_the_parameters_of_mail_are_taken_out(said: str, rest: str, found: str) -> None:
    assert dsn_parameters.taken_out(said, OF_MAIL) == (rest, found)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("TO:<a@example.com> NOTIFY=never", "NOTIFY=NEVER"),
        ("TO:<a@example.com> NOTIFY=Success,DELAY ORCPT=rfc822;A+2Bb@example.com",
         "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2Bb@example.com"),
        ("TO:<a@example.com> ORCPT=x400;/G=Ann/", None),
    ],
)  # fmt: skip
def test_the_parameters_of_rcpt_are_taken_out(said: str, found: str | None) -> None:
    if found is None:  # "=" is no xtext: it must be +3D
        with pytest.raises(ValueError, match="ORCPT"):
            dsn_parameters.taken_out(said, OF_RCPT)
    else:
        assert dsn_parameters.taken_out(said, OF_RCPT) == ("TO:<a@example.com>", found)


@pytest.mark.parametrize(
    ("known", "parameters"),
    [
        (OF_MAIL, "RET=ALL"),
        (OF_MAIL, "RET"),
        (OF_MAIL, "ENVID="),
        (OF_MAIL, f"ENVID={LONGEST}x"),
        (OF_MAIL, "ENVID=a+2b"),
        (OF_MAIL, "RET=FULL RET=HDRS"),
        (OF_RCPT, "NOTIFY=NEVER,FAILURE"),
        (OF_RCPT, "NOTIFY="),
        (OF_RCPT, "ORCPT=a@example.com"),
        (OF_RCPT, f"ORCPT=rfc822;{LONGEST * 5}"),
    ],
)
def test_what_is_malformed_is_refused(known: dsn_parameters.Known, parameters: str) -> None:
    with pytest.raises(ValueError, match=parameters.partition("=")[0]):
        dsn_parameters.taken_out(f"TO:<a@example.com> {parameters}", known)


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_provider_hears_what_the_program_said(
    submission: Submission,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    make_user: Callable[..., User],
) -> None:
    provider = smtp_server("tls", dsn=True, pipelining=True)
    account = account_on(provider)
    content = MAIL.replace(b"ops@example.com", account.email.encode())
    with submission.connect(token_of(make_user("operator")), account.email) as client:
        assert client.has_extn("dsn")
        assert client.docmd("MAIL", f"FROM:<{account.email}> RET=SOME")[0] == 501
        assert client.docmd("MAIL", f"FROM:<{account.email}> SIZE=100 RET=FULL ENVID=Order-7")[0] == 250
        assert client.docmd("RCPT", "TO:<ann@example.com> NOTIFY=SOMETIMES")[0] == 501
        assert client.docmd("RCPT", "TO:<Ann@example.com> NOTIFY=NEVER")[0] == 250
        assert client.docmd("RCPT", "TO:<bob@example.com>")[0] == 250
        assert client.data(content)[0] == 250
        assert client.docmd("MAIL", f"FROM:<{account.email}> FUTURE=1")[0] == 555
    row = OutboxMessage.objects.get()
    assert row.dsn_parameters == "RET=FULL ENVID=Order-7"

    deliver.deliver_account(account.pk)

    said = [line for line in provider.commands if line.startswith(("MAIL", "RCPT"))]
    assert said[0].endswith(" RET=FULL ENVID=Order-7")
    assert said[1:] == [
        "RCPT TO:<Ann@example.com> NOTIFY=NEVER ORCPT=rfc822;Ann@example.com",
        "RCPT TO:<bob@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;bob@example.com",
    ]


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_later_mail_of_a_session_asks_for_itself(
    submission: Submission,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    make_user: Callable[..., User],
) -> None:
    account = account_on(smtp_server("tls"))
    content = MAIL.replace(b"ops@example.com", account.email.encode())
    with submission.connect(token_of(make_user("operator")), account.email) as client:
        assert client.sendmail(account.email, ["ann@example.com"], content, ["RET=HDRS"], ["NOTIFY=DELAY"]) == {}
        assert client.sendmail(account.email, ["ann@example.com"], content.replace(b"<1@", b"<2@")) == {}
    first, second = OutboxMessage.objects.order_by("pk")
    assert (first.dsn_parameters, first.recipients.get().dsn_parameters) == ("RET=HDRS", "NOTIFY=DELAY")
    assert (second.dsn_parameters, second.recipients.get().dsn_parameters) == ("", "")
