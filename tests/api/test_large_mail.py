"""A mail may be as large as the attachment policy allows, by the API and by submission, and no larger."""

from __future__ import annotations

import io
import json
import socket
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from api.submission import server
from api.v1.protocol import large_bodies
from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.compose.sizes import largest_mail, largest_request
from outbox.models import AttachmentPolicy, OutboxMessage
from prx_email_site import unread_body
from tests.api.calling import V1, Program, is_problem, mail
from tests.api.submitting import OPS, Submission, ops, secret, send
from tests.rows import letter_with
from tests.servers.certificates import Certificates
from tests.servers.ports import wait_until

__all__ = ["ops", "secret"]
pytestmark = pytest.mark.django_db(transaction=True)
LARGEST = 25 * 1024 * 1024
WORDS = "attachment exceeds size limit"


def whole(content: bytes) -> bytes:
    """A whole mail of the account with this attachment."""
    raw = letter_with(content, "a.pdf").replace(b"From: ann@example.com", f"From: {OPS}".encode())
    return raw.replace(b"\n", b"\r\n")


def asked(account: Account, content: bytes, path: str) -> dict[str, Any]:
    """The body of a request with this attachment."""
    if path == "/send":
        return mail(account, attachments=[{"filename": "a.pdf", "base64": b64encode(content).decode()}])
    return {"mail_from": OPS, "rcpt_to": ["ann@example.com"], "base64": b64encode(whole(content)).decode()}


def only_row(size: int) -> OutboxMessage:
    row = OutboxMessage.objects.get()
    assert len(raw_store.open_raw(row.mime_digest)) == row.mime_size > size * 4 / 3
    assert row.attachment_rows.get().size == size
    return row


@pytest.fixture(params=[20_000, pytest.param(LARGEST, marks=pytest.mark.long)])
def largest(request: pytest.FixtureRequest, settings: Settings) -> int:
    """The policy's largest attachment: the usual one, and one that makes requests beyond Django's limit, too."""
    size: int = request.param
    assert AttachmentPolicy.current().max_size_bytes == LARGEST
    AttachmentPolicy.objects.update(max_size_bytes=size)
    if size != LARGEST:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    return size


@pytest.mark.parametrize("path", ["/send", "/submit"])
def test_the_api_takes_the_largest_attachment_and_not_a_byte_more(
    make_user: Callable[..., User], ops: Account, path: str, largest: int
) -> None:
    program = Program(make_user("operator"))
    refused = program.post(path, asked(ops, bytes(largest + 1), path))
    assert is_problem(refused, 422, "Validation") and refused.json()["error"]["message"] == WORDS
    assert not OutboxMessage.objects.exists()
    assert program.post(path, asked(ops, bytes(largest), path)).status_code == 202
    only_row(largest)
    assert large_bodies.room.take(large_bodies.AT_ONCE), "nothing is held behind the answer"
    large_bodies.room.give_back(large_bodies.AT_ONCE)


class Unread(io.RawIOBase):
    """A body that nobody may read."""

    def read(self, _size: int = -1) -> bytes:
        raise AssertionError("it was read")


def raw(program: Program, body: bytes, **environment: Any) -> Any:
    headers = {"authorization": f"Bearer {program.secret}"}
    return program.client.generic("POST", f"{V1}/send", body, "application/json", headers=headers, **environment)


def test_a_request_beyond_the_policy_is_refused_with_nothing_kept_and_one_of_that_size_is_taken(
    make_user: Callable[..., User], ops: Account
) -> None:
    program = Program(make_user("operator"))
    AttachmentPolicy.current()
    AttachmentPolicy.objects.update(max_size_bytes=1000)
    most = largest_request(1000)
    body = json.dumps(mail(ops)).encode().ljust(most)
    given = io.BytesIO(b"x" * (most + 2))
    refused = raw(program, b"x", CONTENT_LENGTH=str(most + 1), **{"wsgi.input": given})
    assert is_problem(refused, 413, "TooLarge")
    assert given.tell() == most + 1, "read to its end, so that a proxy that sends it gets the answer"
    assert not hasattr(refused.wsgi_request, "_body")
    beyond = {"CONTENT_LENGTH": str(unread_body.MOST + 1), "wsgi.input": Unread()}
    assert is_problem(raw(program, b"x", **beyond), 413, "TooLarge")
    assert refused.json()["detail"].startswith(WORDS) and f"{most} bytes" in refused.json()["detail"]
    assert "1000 bytes" in refused.json()["detail"]
    assert raw(program, body).status_code == 202


def by_stranger(path: str, stream: Any, size: int) -> Any:
    given = {"CONTENT_LENGTH": str(size), "wsgi.input": stream}
    return Client().generic("POST", path, b"x", "application/json", **given)


@pytest.mark.parametrize(("path", "status"), [(f"{V1}/send", 401), (f"{V1}/none", 404), ("/outbox/", 302)])
def test_a_strangers_body_is_thrown_away_so_that_a_proxy_passes_the_refusal_on(path: str, status: int) -> None:
    given = io.BytesIO(b"x" * 100_000)
    refused = by_stranger(path, given, 99_999)
    assert (refused.status_code, given.tell()) == (status, 99_999)
    assert not hasattr(refused.wsgi_request, "_body")


def test_few_strangers_hold_a_thread_at_once() -> None:
    taken = [unread_body.strangers.acquire(blocking=False) for _ in range(5)]
    assert taken == [True] * 4 + [False]
    try:
        assert is_problem(by_stranger(f"{V1}/send", Unread(), 100_000), 401, "Unauthorized")
    finally:
        unread_body.strangers.release(4)
    assert by_stranger(f"{V1}/send", io.BytesIO(b"x" * 100_000), 100_000).status_code == 401


def test_whoever_sends_for_ever_gets_the_answer_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(unread_body, "SECONDS", 0.0)
    with ours, theirs, ours.makefile("rb") as stream:
        theirs.sendall(b"x" * 1_000)  # and no more, and no end
        given = {"CONTENT_LENGTH": "100000", "wsgi.input": stream, "gunicorn.socket": ours}
        refused = Client().generic("POST", f"{V1}/send", b"x", "application/json", **given)
        assert refused.status_code == 401
        ours.sendall(b"the answer")
        assert theirs.recv(10) == b"the answer"


def test_of_a_body_whose_length_is_not_said_the_rest_is_thrown_away_too() -> None:
    given = io.BytesIO(b"x" * 100_000)
    more = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "", "wsgi.input": given}
    assert Client().generic("POST", f"{V1}/send", b"x", "application/json", **more).status_code == 401
    assert given.tell() == 100_000


def test_large_mails_wait_while_others_take_the_memory(
    make_user: Callable[..., User], ops: Account, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    monkeypatch.setattr(large_bodies, "room", large_bodies.Room(4000))
    program, large = Program(make_user("operator")), mail(ops, body_text="x" * 2000)
    assert large_bodies.room.take(3000)
    refused = program.post("/send", large)
    assert is_problem(refused, 503, "Storage") and refused.headers["Retry-After"]
    assert program.post("/send", mail(ops)).status_code == 202, "small ones do not wait"
    large_bodies.room.give_back(3000)
    assert program.post("/send", large).status_code == 202
    assert program.post("/send", mail(ops, body_text="x" * 9000)).status_code == 202, "alone it has room"
    assert large_bodies.room.take(4000)


def test_submission_takes_the_largest_attachment_and_not_a_byte_more(
    certificates: Certificates, ops: Account, secret: str, largest: int
) -> None:
    running = Submission(certificates, max_bytes=0)
    with running.connect(secret) as client:
        refused = send(client, whole(bytes(largest + 1)))
        assert refused.startswith("550 5.7.1") and WORDS in refused
        assert send(client, whole(bytes(largest))).startswith("250")
    running.stop()
    only_row(largest)


def test_submission_follows_the_policy(
    certificates: Certificates, ops: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RENEWAL_SECONDS", 0.05)
    running = Submission(certificates, max_bytes=0)

    def size() -> int:
        with running.connect() as client:
            return int(client.esmtp_features["size"])

    assert size() == 50 * 1024 * 1024
    AttachmentPolicy.objects.update(max_size_bytes=300 * 1024 * 1024)
    most = largest_mail(300 * 1024 * 1024)
    wait_until(lambda: size() == most, seconds=20, what="the policy's size")
    assert running.limits.reserve(most), "one of them has room"
    running.limits.free(most)
    with running.connect(secret) as client:
        assert client.docmd(f"MAIL FROM:<{OPS}> SIZE={most}")[0] == 250
        client.rset()
        assert client.docmd(f"MAIL FROM:<{OPS}> SIZE={most + 1}")[0] == 552
    running.stop()
