"""A rate limit an account: never more than so many in any minute, across restarts, and no attempt is burnt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage, SendPace
from outbox.retry import rate_limit
from tests.servers.smtp import SmtpServer

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("next_in", "per_minute", "wait"),
    [(None, 6, 0), (0, 6, 0), (-5, 6, 0), (4, 6, 4), (10, 6, 10), (3600, 6, 10), (4, None, 0), (0.5, 60, 0.5)],
)
def test_the_wait_is_what_is_left_of_one_interval_at_most(
    next_in: float | None, per_minute: int | None, wait: float
) -> None:
    """An hour ahead: of a stricter limit that was lifted, or of a clock that was set back."""
    next_at = None if next_in is None else NOW + timedelta(seconds=next_in)
    assert rate_limit.wait_seconds(next_at, per_minute, NOW) == wait


@pytest.mark.parametrize("per_minute", [1, 7, 60, 1000])
def test_no_minute_sees_more_than_the_limit_wherever_it_begins(per_minute: int) -> None:
    times, now = [], NOW
    for _ in range(3 * per_minute):
        times.append(now)
        now = rate_limit.following_at(now, per_minute)
    for begin in times:
        assert sum(begin <= each < begin + timedelta(seconds=59.999) for each in times) <= per_minute


@pytest.fixture
def server(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    return smtp_server("tls")


@pytest.mark.django_db(transaction=True)
def test_a_limited_account_sends_one_and_leaves_the_rest_as_it_was(
    account_on: Callable[..., Account], server: SmtpServer
) -> None:
    account = account_on(server, messages_per_minute=2)
    for _ in range(3):
        assert api.queue(account.pk, "bob@example.test", "Hello", "A text.").ok

    def at(seconds: float) -> Callable[[], datetime]:
        return lambda: NOW + timedelta(seconds=seconds)

    deliver.deliver_account(account.pk, clock=at(0))
    assert len(server.mails()) == 1 and SendPace.objects.get().next_at == NOW + timedelta(seconds=30)
    deliver.deliver_account(account.pk, clock=at(1))  # as after a restart: a session that knows nothing
    assert len(server.mails()) == 1 and server.connections == 1
    assert deliver.accounts_with_due_rows(at(14)()) == [] and deliver.accounts_with_due_rows(at(30)()) == [account.pk]
    deliver.deliver_account(account.pk, clock=at(30))
    assert len(server.mails()) == 2
    assert list(OutboxMessage.objects.order_by("pk").values_list("status", "retries")) == [
        ("sent", 0),
        ("sent", 0),
        ("pending", 0),
    ]
    assert OutboxMessage.objects.queued().get().attempts.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_short_wait_is_waited_for_on_the_session(account_on: Callable[..., Account], server: SmtpServer) -> None:
    account = account_on(server, messages_per_minute=240)
    for _ in range(3):
        assert api.queue(account.pk, "bob@example.test", "Hello", "A text.").ok

    assert deliver.deliver_account(account.pk).sent == 3

    assert server.connections == 1
