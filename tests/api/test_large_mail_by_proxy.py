"""The largest mails of the attachment policy pass the proxies of deploy/, as they are configured there, to the site."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User

from api.models import Token
from mailbox.models import Account
from outbox.compose.sizes import largest_request
from outbox.models import AttachmentPolicy, OutboxMessage
from tests.api.calling import V1, Program, mail, ops
from tests.rows import letter_with
from tests.servers.certificates import Certificates
from tests.servers.ports import answers, free_ports, wait_until
from tests.servers.proxies import caddy, nginx
from tests.servers.site import Cluster

__all__ = ["ops"]
LARGEST = 25 * 1024 * 1024
LET_PASS = 64 * 1024 * 1024  # client_max_body_size, max_size
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]


@pytest.fixture
def web(start_workers: Callable[..., Cluster]) -> Iterator[int]:
    """gunicorn with the project's configuration, on a port."""
    (port,) = free_ports(1)
    command = ["-m", "gunicorn", "prx_email_site.wsgi", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
    start_workers(
        command=[*command, "--threads", "24", "--no-control-socket"],
        PRX_EMAIL_BASE_URL="https://localhost",
        PRX_EMAIL_ALLOWED_HOSTS="localhost",
        PRX_EMAIL_TRUSTED_PROXIES="127.0.0.1",
    )
    wait_until(lambda: answers(port), seconds=60, what="the web server")
    yield port


def sent(account: Account, content: bytes) -> dict[str, Any]:
    return mail(account, attachments=[{"filename": "a.pdf", "base64": b64encode(content).decode()}])


def whole(account: Account, content: bytes) -> dict[str, Any]:
    raw = letter_with(content, "a.pdf").replace(b"From: ann@example.com", f"From: {account.email}".encode())
    raw = raw.replace(b"\n", b"\r\n")
    return {"mail_from": account.email, "rcpt_to": ["ann@example.com"], "base64": b64encode(raw).decode()}


@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_the_largest_mails_pass_the_proxy_and_larger_ones_are_told_why_not(
    proxy: Any,
    web: int,
    ops: Account,
    make_user: Callable[..., User],
    tmp_path: Path,
    certificates: Certificates,
) -> None:
    assert AttachmentPolicy.current().max_size_bytes == LARGEST
    assert 10 * 1024 * 1024 < largest_request(LARGEST) <= LET_PASS
    (port,) = free_ports(1)
    program, content = Program(make_user("operator")), os.urandom(LARGEST)
    with (
        proxy(tmp_path, port, web, certificates),
        httpx.Client(
            base_url=f"https://localhost:{port}{V1}",
            headers={"Authorization": f"Bearer {program.secret}", "Content-Type": "application/json"},
            verify=certificates.client_context(),
            timeout=120,
        ) as client,
    ):
        for path, body in (("/send", sent(ops, content)), ("/submit", whole(ops, content))):
            answered = client.post(path, content=json.dumps(body).encode())
            assert answered.status_code == 202, answered.text[:500]
        sizes = [row.attachment_rows.get().size for row in OutboxMessage.objects.all()]
        assert sizes == [LARGEST, LARGEST]
        # As large as a request may be, which is the site's to refuse, in the policy's words; and larger than the proxy.
        for size, words in ((largest_request(LARGEST), "Cannot parse"), (largest_request(LARGEST) + 1, "exceeds")):
            answered = client.post("/send", content=b" " * size)
            assert answered.status_code in (400, 413) and words in answered.json()["detail"]
        assert client.post("/send", content=b" " * (LET_PASS + 1)).status_code == 413
        _refusals_pass(client, program)
    assert OutboxMessage.objects.count() == 2


def _refusals_pass(client: httpx.Client, program: Program) -> None:
    """Each by a large body that the site does not read, several times, as it is a race who closes first."""
    body, small = b" " * (20 * 1024 * 1024), b"{}"
    Token.objects.filter(user=program.user).update(per_minute=1)
    wrong = {"Authorization": "Bearer prx_wrong"}
    assert client.get("/accounts").status_code in (200, 429)  # the one that the rate allows
    for _ in range(5):
        for path, headers, status in (("/send", wrong, 401), ("/send", {}, 429), ("/nowhere", wrong, 404)):
            answered = client.post(path, content=body, headers=headers)
            assert (answered.status_code, answered.json()["status"]) == (status, status), answered.text[:300]
        answered = client.post("/send", content=iter([body, small]), headers=wrong)  # chunked
        assert answered.status_code == 401, answered.text[:300]
        answered = client.post(client.base_url.copy_with(path="/outbox/compose/"), content=body)
        assert answered.status_code in (302, 403, 413), answered.text[:300]
