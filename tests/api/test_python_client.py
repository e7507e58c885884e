"""The Python client and the Django backend of clients/python, against the site itself over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from api import tokens
from api.models import Scope
from api.tokens import Terms
from mailbox.models import Account, AccountAlias
from mailbox.storage import raw_store
from outbox.models import OutboxMessage
from tests.rows import NOWHERE, letter_with, outbox_row, store
from tests.rows import letter as letter_of
from tests.servers.site import ROOT

SOURCE = ROOT / "clients/python/src"
sys.path.insert(0, str(SOURCE))
from prx_email_client import Client, Mail, Refused, Unreachable  # noqa: E402

pytestmark = [pytest.mark.pages, pytest.mark.django_db(transaction=True)]
OPS = "ops@example.com"
PROJECT = """
import sys
from django.conf import settings
url, token = sys.argv[1:]
settings.configure(
    EMAIL_BACKEND="prx_email_client.django.EmailBackend", PRX_EMAIL_URL=url, PRX_EMAIL_TOKEN=token,
    DEFAULT_FROM_EMAIL="Operations <ops@example.com>",
)
import django
django.setup()
from django.core.mail import EmailMultiAlternatives, send_mail
assert send_mail("Größe", "Dear Ann", None, ["Ann <ann@example.com>"]) == 1
mail = EmailMultiAlternatives("Twice", "Text", None, ["bob@example.com"], bcc=["eve@example.com"])
mail.attach_alternative("<p>Text</p>", "text/html")
mail.attach("a.txt", "content", "text/plain")
assert mail.send() == 1
mail.to = ["cay@example.com"]  # as loops do that send one object to many
assert mail.send() == 1
try:
    send_mail("Hi", "Text", "eve@example.com", ["ann@example.com"])
except Exception as error:
    assert type(error).__name__ == "Refused", error
else:
    raise AssertionError("accepted")
assert send_mail("Hi", "Text", "eve@example.com", ["ann@example.com"], fail_silently=True) == 0
"""


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    return make_account(OPS, **NOWHERE)


@pytest.fixture
def secret(make_user: Callable[..., User]) -> str:
    user = make_user("operator")
    ends = timezone.now() + timedelta(days=1)
    return tokens.make(user, Terms("app", [Scope.SEND, Scope.READ], ends), by=user)[1]


@pytest.fixture
def client(live_server: LiveServer, secret: str) -> Iterator[Client]:
    with Client(live_server.url, secret, wait=lambda seconds: None) as found:
        yield found


def letter(**headers: str) -> EmailMessage:
    mail = EmailMessage()
    for name, value in ({"From": OPS, "To": "ann@example.com", "Subject": "Hi"} | headers).items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Dear Ann")
    return mail


def test_a_fresh_django_project_sends_by_send_mail(
    live_server: LiveServer, ops: Account, secret: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROJECT, live_server.url, secret],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = OutboxMessage.objects.order_by("pk")
    assert (first.subject, first.to, first.body_text.strip()) == ("Größe", "Ann <ann@example.com>", "Dear Ann")
    assert [(each.kind, each.address) for each in second.recipients.order_by("pk")] == [
        ("to", "bob@example.com"),
        ("bcc", "eve@example.com"),
    ]
    assert (second.body_html, second.attachment_rows.get().filename) == ("<p>Text</p>", "a.txt")
    frozen = raw_store.open_raw(second.mime_digest)
    assert b"eve@example.com" not in frozen
    assert second.message_id.encode() in frozen
    assert third.to == "cay@example.com"
    assert len({first.message_id, second.message_id, third.message_id, ""}) == 4


def test_the_client_sends_and_reads(client: Client, ops: Account) -> None:
    assert [(each.id, each.email) for each in client.accounts()] == [(ops.pk, OPS)]
    mail = Mail(ops.pk, ["ann@example.com"], "Hi", "Dear Ann")
    state = client.send(mail, key="k")
    assert client.send(mail, key="k") == state
    assert client.state(state.outbox_id)["subject"] == "Hi"
    submitted = letter()
    assert client.submit(OPS, ["ann@example.com"], submitted) == client.submit(OPS, ["ann@example.com"], submitted)
    assert OutboxMessage.objects.count() == 2


def test_the_client_sends_from_a_further_address_of_the_account(client: Client, ops: Account) -> None:
    AccountAlias.objects.create(account=ops, email="sales@example.com", display_name="Sales desk")
    client.send(Mail(ops.pk, ["ann@example.com"], "Hi", "Dear Ann", sender="Sales@example.com"))
    client.submit("sales@EXAMPLE.com", ["ann@example.com"], letter(From="Sales <sales@example.com>"))
    written, submitted = OutboxMessage.objects.order_by("pk")
    assert (written.header_from, submitted.header_from) == (
        "Sales desk <sales@example.com>",
        "Sales <sales@example.com>",
    )
    assert {(each.account, each.mail_from) for each in (written, submitted)} == {(ops, OPS)}
    with pytest.raises(Refused, match=r"eve@example\.com") as refused:
        client.send(Mail(ops.pk, ["ann@example.com"], "Hi", "Dear Ann", sender="eve@example.com"))
    assert refused.value.status == 422


def test_the_client_reads_mail_page_by_page_and_tells_what_needs_a_person(
    live_server: LiveServer, ops: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prx_email_client.calls.LARGEST_PAGE", 1)
    ends, chief = timezone.now() + timedelta(days=1), make_user("administrator")
    secret = tokens.make(chief, Terms("app", [Scope.READ, Scope.OPERATE], ends), by=chief)[1]
    raw = letter_with(b"%PDF-1.4", "report.pdf")
    stored = [store(ops, raw), store(ops, letter_of("Second"))]
    outbox_row(ops, status="failed", hold="uncertain", subject="Doubt")
    with Client(live_server.url, secret, wait=lambda seconds: None) as client:
        assert {each.id for each in client.messages(account=ops.pk)} == {each.pk for each in stored}
        assert {each.id for each in client.search("is:unread")} == {each.pk for each in stored}
        assert client.source(stored[0].pk) == raw
        assert client.attachment(stored[0].pk, 0) == b"%PDF-1.4"
        assert [(each.subject, each.hold) for each in client.outbox(state="needs_decision")] == [("Doubt", "uncertain")]
        listed = client.suppress(ops.pk, "gone@example.com", "left")
        assert client.suppress(ops.pk, "gone@example.com") == listed
        assert list(client.suppressed(account=ops.pk)) == [listed]
        client.unsuppress(listed.id)
        assert list(client.suppressed(account=ops.pk)) == []
        with pytest.raises(Refused) as gone:
            client.unsuppress(listed.id)
        assert gone.value.status == 404
        assert "uncertain" in {each.kind for each in client.needs()}
        client.pause(ops.pk)
        ops.refresh_from_db()
        assert ops.sending_paused_at
        client.resume(ops.pk)
        client.sync(ops.pk)
        ops.refresh_from_db()
        assert (ops.sending_paused_at, ops.sync_asked_at is None) == (None, False)


def test_a_mail_whose_answer_is_lost_is_sent_once(live_server: LiveServer, ops: Account, secret: str) -> None:
    class Lossy(httpx.HTTPTransport):
        """The site does as it is asked, and its first answers are lost on the way, or a proxy's stand in for them."""

        lost = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            self.lost += 1
            if self.lost == 1:
                raise httpx.ReadError("the connection broke")
            return httpx.Response(502) if self.lost == 2 else response

    waits: list[float] = []
    for act in (
        lambda client: client.send(Mail(ops.pk, ["ann@example.com"], "Hi", "Dear Ann")),
        lambda client: client.submit(OPS, ["ann@example.com"], letter()),
    ):
        with Client(live_server.url, secret, transport=Lossy(), wait=waits.append) as client:
            assert act(client).status == "pending"
    assert waits == [0.5, 1.0] * 2
    assert OutboxMessage.objects.count() == 2


def test_what_is_refused_is_not_tried_again_and_nothing_is_said_when_nobody_answers(
    client: Client, ops: Account, secret: str
) -> None:
    with pytest.raises(Refused) as refused:
        client.submit(OPS, ["ann@example.com"], letter(From="eve@example.com", Message_ID="<1@example.com>"))
    assert (refused.value.status, refused.value.code) == (422, "Validation")
    with pytest.raises(Refused, match="Message-ID"):
        client.submit(OPS, ["ann@example.com"], b"From: ops@example.com\r\n\r\nText")
    with pytest.raises(Refused) as unknown:
        client.submit("eve@example.com", ["ann@example.com"], letter())
    assert unknown.value.status == 404
    with Client("http://127.0.0.1:1", secret, wait=lambda seconds: None) as nowhere, pytest.raises(Unreachable):
        nowhere.accounts()
    assert not OutboxMessage.objects.exists()


def secret_of_all(user: User) -> str:
    terms = Terms("client", list(Scope), timezone.now() + timedelta(days=1))
    return tokens.make(user, terms, by=None)[1]


def test_further_addresses_features_and_the_comparison_with_the_server(
    live_server: LiveServer, ops: Account, make_user: Callable[..., User]
) -> None:
    with Client(live_server.url, secret_of_all(make_user("administrator"))) as client:
        added = client.add_alias(ops.pk, "desk@example.com", "Desk")
        assert client.aliases(ops.pk) == [added]
        client.remove_alias(added.id)
        assert client.aliases(ops.pk) == []
        assert client.set_feature("outbox_retry", 30).percent == 30
        assert client.set_feature_of("outbox_retry", ops.pk, False).off == [ops.pk]
        assert {each.feature: each.percent for each in client.features()}["outbox_retry"] == 30
        assert client.completeness(ops.pk).document is None


def test_what_was_taken_away_and_its_answer_lost_is_away(
    live_server: LiveServer, ops: Account, make_user: Callable[..., User]
) -> None:
    class Lossy(httpx.HTTPTransport):
        lost = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            self.lost += 1
            if self.lost == 2:
                raise httpx.ReadError("the connection broke")
            return response

    secret = secret_of_all(make_user("administrator"))
    with Client(live_server.url, secret, transport=Lossy(), wait=lambda _seconds: None) as client:
        client.unsuppress(client.suppress(ops.pk, "gone@example.com").id)
        assert list(client.suppressed(account=ops.pk)) == []
