"""A failover of PostgreSQL during a send: nothing is lost or doubled, and an outcome that is known is saved later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import claims, deliver, finalization, recovery
from outbox.models import OutboxMessage
from tests.servers.failover import fail_over
from tests.servers.smtp import SmtpServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Only a server has replicas."),
]
MAILS = 3


@pytest.fixture
def promoted_at_the_end() -> Iterator[None]:
    yield
    connections.close_all()
    fail_over(to_a_replica=False)
    connections.close_all()


@pytest.mark.usefixtures("promoted_at_the_end")
@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA", "."])
def test_a_failover_at_each_command_loses_nothing_doubles_nothing_and_asks_nobody(
    command: str,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The replica is promoted when it has refused three writes of a worker."""
    server = smtp_server("tls")
    account, happened = account_on(server), list[str]()
    for number in range(MAILS):
        assert api.queue(account.pk, "bob@example.test", f"Mail {number}", "A text.").ok
    answer = server.fault

    def fault(asked: str, line: str) -> object:
        if asked == command and not happened:
            happened.append("failover")
            fail_over(to_a_replica=True)
        return answer(asked, line)

    monkeypatch.setattr(server, "fault", fault)
    for owner, name in ((finalization, "finalize"), (claims, "release"), (claims, "commit_dot")):
        act = getattr(owner, name)

        def promoted_in_the_end(*given: object, act: Callable[..., object] = act, **named: object) -> object:
            happened.extend(["write"] * bool(happened))
            if len(happened) == 4:
                fail_over(to_a_replica=False)
            return act(*given, **named)

        monkeypatch.setattr(owner, name, promoted_in_the_end)
    deliver.deliver_account(account.pk)
    assert len(happened) >= 2
    connections.close_all()
    fail_over(to_a_replica=False)

    later = timezone.now() + timedelta(hours=1)
    recovery.recover(later)
    deliver.deliver_account(account.pk, clock=lambda: later)
    rows = OutboxMessage.objects.values_list("status", "hold", "retries")
    assert set(rows) == {("sent", "", 0)} and len(server.mails()) == MAILS
