"""The Python client: replies, what is done to a mail of the outbox, and events, against the site over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from alerts.models import Event as StoredEvent
from api import tokens
from api.models import Scope
from api.tokens import Terms
from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, letter, outbox_row, store
from tests.servers.site import ROOT

sys.path.insert(0, str(ROOT / "clients/python/src"))
from prx_email_client import Client, EventsMissed, File, Refused, Reply

pytestmark = [pytest.mark.pages, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def secret(make_user: Callable[..., User]) -> str:
    user, ends = make_user("operator"), timezone.now() + timedelta(days=1)
    return tokens.make(user, Terms("app", [Scope.SEND, Scope.READ, Scope.OPERATE], ends), by=user)[1]


@pytest.fixture
def client(live_server: LiveServer, secret: str) -> Iterator[Client]:
    with Client(live_server.url, secret, wait=lambda seconds: None) as found:
        yield found


def test_it_replies_with_a_file_once_for_a_key(client: Client, ops: Account) -> None:
    parent = store(ops, letter("Question", From="ann@example.com", Message_ID="<q@example.com>"))
    reply = Reply(ops.pk, parent.pk, "Here it is.", attachments=[File("a.pdf", b"%PDF-1.4")])
    state = client.reply(reply, key="k")
    assert client.reply(reply, key="k") == state
    row = OutboxMessage.objects.get()
    assert (row.pk, row.to, row.subject, row.parent_id) == (
        state.outbox_id,
        "ann@example.com",
        "Re: Question",
        parent.pk,
    )
    assert b"In-Reply-To: <q@example.com>" in raw_store.open_raw(row.mime_digest)
    assert row.attachment_rows.get().filename == "a.pdf"


def test_it_retries_sends_now_and_cancels(client: Client, ops: Account) -> None:
    later = timezone.now() + timedelta(hours=1)
    row = outbox_row(ops, status="failed", retries=3, next_attempt_at=later)
    with pytest.raises(Refused, match="retry_not_due") as early:
        client.retry(row.pk)
    assert early.value.status == 422
    assert client.send_now(row.pk).outbox_id == row.pk
    row.refresh_from_db()
    assert row.next_attempt_at <= timezone.now()
    assert client.retry(row.pk).retries == 3
    assert client.cancel(row.pk).status == "cancelled"
    with pytest.raises(Refused):
        client.cancel(row.pk)


class Lossy(httpx.HTTPTransport):
    """The site does as it is asked, and its first answer is lost."""

    lost = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.lost += 1
        if self.lost == 1:
            raise httpx.ReadError("the connection broke")
        return response


def test_a_mail_whose_cancellation_was_not_answered_is_cancelled_and_one_that_was_sent_is_not(
    live_server: LiveServer, secret: str, ops: Account
) -> None:
    row, sent = outbox_row(ops), outbox_row(ops, status="sent")
    with Client(live_server.url, secret, transport=Lossy(), wait=lambda _seconds: None) as client:
        state = client.cancel(row.pk)
        assert (state.outbox_id, state.status, state.next_attempt_at) == (row.pk, "cancelled", None)
    with (
        Client(live_server.url, secret, transport=Lossy(), wait=lambda _seconds: None) as client,
        pytest.raises(Refused),
    ):
        client.cancel(sent.pk)


def happen(account: Account, status: str = "sent") -> int:
    """An event; returns the mail's pk."""
    row = outbox_row(account)
    OutboxMessage.objects.filter(pk=row.pk).update(status=status, **({"hold": "permanent"} if status != "sent" else {}))
    return row.pk


def test_events_are_read_in_their_order_by_pages_and_resumed(
    client: Client, ops: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prx_email_client.client.LARGEST_PAGE", 2)
    begin, reached = client.last_event(), list[int]()
    rows = [happen(ops) for _ in range(5)]
    found = client.events(begin, reached=reached.append)
    read = [next(found) for _ in range(3)]
    assert [each.outbox_id for each in read] == rows[:3]
    assert reached == [read[1].number], "the page that is being read is not reached yet"
    assert [each.outbox_id for each in client.events(read[-1].number)] == rows[3:]
    assert [each.outbox_id for each in client.events(reached[-1])] == rows[2:]
    refused = happen(ops, "failed")
    assert [each.outbox_id for each in client.events(begin, kinds=["outbox.failed"])] == [refused]
    assert read[0].type == "outbox.sent" and read[0].account_id == ops.pk


def test_events_that_come_later_are_waited_for(live_server: LiveServer, secret: str, ops: Account) -> None:
    waits, rows = list[float](), list[int]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        rows.append(happen(ops))

    with Client(live_server.url, secret, wait=wait) as client:
        found = client.events(client.last_event(), again_after=7.0)
        assert [next(found).outbox_id for _ in range(2)] == rows
    assert waits == [7.0, 7.0]


def test_events_that_were_removed_unread_are_told(client: Client, ops: Account) -> None:
    begin = client.last_event()
    rows = [happen(ops) for _ in range(3)]
    first = next(client.events(begin))
    StoredEvent.objects.filter(number__lte=first.number).delete()
    with pytest.raises(EventsMissed) as missed:
        list(client.events(begin))
    assert [each.outbox_id for each in client.events(missed.value.after)] == rows[1:]
