"""Access tokens that end after five seconds, under a running cluster: mail comes in all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from mailbox.models import Account, Message, OAuthGrant
from mailbox.tasks import sync as sync_tasks
from outbox import api
from outbox.models import OutboxMessage
from tests.servers.dovecot import Dovecot
from tests.servers.oidc import OidcProvider
from tests.servers.ports import wait_until
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

ROUNDS = 3


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_tokens_of_five_seconds_carry_an_account_for_as_long_as_workers_run(
    granted: Callable[..., Account],
    oidc: OidcProvider,
    dovecot: Dovecot,
    sink: SmtpServer,
    start_workers: Callable[..., Cluster],
) -> None:
    oidc.control(ttl=5)
    account = granted()
    start_workers(PRX_EMAIL_WORKERS="2")
    for number in range(ROUNDS):
        ends = OAuthGrant.objects.get().expires_at
        assert ends is not None
        wait_until(lambda ends=ends: timezone.now() > ends, seconds=10, what="the token to end")
        subject = f"Round {number}"
        dovecot.append(account.email, "INBOX", f"Subject: {subject}\r\n\r\nHello.\r\n".encode())
        sync_tasks.queue_sync(account.pk, None)
        came = Message.objects.filter(account=account, subject=subject)
        wait_until(came.exists, seconds=60, what=f"the mail of round {number}")
        assert api.queue(account.pk, "bob@customer.example", subject, "Hello.").ok
        sent = OutboxMessage.objects.filter(subject=subject, status="sent")
        wait_until(sent.exists, seconds=60, what=f"the sent mail of round {number}")
    answers = oidc.token_requests()
    assert len(answers) >= ROUNDS and set(answers) == {200}, "each ended token was renewed, and no refresh was refused"
    grant = OAuthGrant.objects.get()
    assert (grant.failure, grant.generation) == ("", 1 + len(answers)), "what the provider gave was stored, each time"
    now = Account.objects.with_transports().get()
    assert now.imap.needs_sign_in_since is None and now.smtp.needs_sign_in_since is None
    assert len(sink.mails()) == ROUNDS
