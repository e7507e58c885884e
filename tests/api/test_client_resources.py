"""The Python client's calls by path, and every snippet of its README, against the site itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from api import tokens
from api.models import Scope, Token
from api.tokens import Terms
from mailbox.models import Account
from mailbox.search.index import index_messages
from outbox.models import Draft, OutboxMessage
from tests.rows import NOWHERE, letter_with, store
from tests.servers.site import ROOT

sys.path.insert(0, str(ROOT / "clients/python/src"))
import prx_email_client as package
from prx_email_client import Client, Refused

pytestmark = [pytest.mark.pages, pytest.mark.django_db(transaction=True)]
LISTS = {
    "/drafts": "Draft",
    "/webhooks": "Webhook",
    "/alert-rules": "AlertRule",
    "/people": "Person",
    "/tokens": "Token",
}


class Lossy(httpx.HTTPTransport):
    """The site does as it is asked, and every other answer is lost on the way."""

    asked = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.asked += 1
        if self.asked % 2:
            raise httpx.ReadError("the connection broke")
        return response


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def secret(make_user: Callable[..., User]) -> str:
    user = make_user("administrator")
    return tokens.make(user, Terms("app", list(Scope), timezone.now() + timedelta(days=1)), by=user)[1]


@pytest.fixture
def client(live_server: LiveServer, secret: str) -> Iterator[Client]:
    with Client(live_server.url, secret, wait=lambda seconds: None) as found:
        yield found


def test_every_snippet_of_the_readme_does_what_it_says(
    live_server: LiveServer, ops: Account, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "clients/python/README.md").read_text("utf-8").replace("https://mail.example.com", live_server.url)
    *programs, settings = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert "EMAIL_BACKEND" in settings and len(programs) == 4
    index_messages([store(ops, letter_with(b"%PDF-1.4", "report.pdf"))])
    reached: list[int] = []
    known = {"token": secret, "stored": None, "store": reached.append}
    for program in programs:
        exec(program, known)
    assert reached
    assert "report.pdf 8" in capsys.readouterr().out
    assert list(OutboxMessage.objects.order_by("pk").values_list("subject", "status")) == [
        ("Hello", "pending"),
        ("Re: With a file", "cancelled"),
        ("Hi", "pending"),
    ]


def test_lists_are_read_page_by_page_and_become_rows_of_a_dataclass(
    client: Client, ops: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prx_email_client.calls.LARGEST_PAGE", 1)
    for number in (1, 2):
        client.post("/drafts", {"subject": f"Draft {number}"})
        client.post("/webhooks", {"name": f"w{number}", "url": "https://hooks.example.com/"})
        client.post("/alert-rules", {"channel": "mail", "sender_id": ops.pk, "address": f"a{number}@example.com"})
        tokens.make(make_user(""), Terms("t", [Scope.READ], timezone.now()), by=None)
    for path, name in LISTS.items():
        kind = getattr(package, name)
        rows = list(client.pages(path, kind))
        assert len(rows) >= 2 and len({each.id for each in rows}) == len(rows) and isinstance(rows[0], kind)
    assert [each["email"] for each in client.pages("/accounts", dict)] == ["ops@example.com"]
    assert Token.objects.count() == 3


@dataclass(frozen=True)
class Own:
    """A program's own: what it needs of a draft."""

    id: int
    subject: str


def test_what_was_changed_meanwhile_is_not_changed_and_what_is_created_is_so_once(
    live_server: LiveServer, client: Client, ops: Account, secret: str
) -> None:
    with Client(live_server.url, secret, transport=Lossy(), wait=lambda seconds: None) as lossy:
        made = lossy.post("/drafts", {"subject": "Once"}).made(Own)
        assert (made.subject, Draft.objects.count()) == ("Once", 1)
        at = f"/drafts/{made.id}"
        seen = client.get(at)
        assert client.put(at, {"subject": "Mine"}, if_match=seen.etag).made(Own) == Own(made.id, "Mine")
        for change in (
            lambda: client.put(at, {"subject": "Late"}, if_match=seen.etag),
            lambda: client.delete(at, if_match=seen.etag),
        ):
            with pytest.raises(Refused) as refused:
                change()
            assert (refused.value.status, refused.value.code) == (412, "Changed")
        lossy.delete(at, if_match=client.get(at).etag)
    assert not Draft.objects.exists()
    with pytest.raises(Refused) as gone:
        client.get(at)
    assert gone.value.status == 404
    hook = client.post("/webhooks", {"name": "crm", "url": "https://hooks.example.com/"}).data["id"]
    assert client.patch(f"/webhooks/{hook}", {"is_on": False}).data["is_on"] is False
    assert client.content("/suppressed/csv", account=ops.pk).decode("utf-8-sig").startswith("account,address")
