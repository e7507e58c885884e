"""A disk that is full while a person or program hands in a large mail: it is told so, and may do it again."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.rows import NOWHERE
from tests.servers.small_disk import SmallDisk, disk

__all__ = ["disk"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def client(make_user: Callable[..., User]) -> Client:
    """One whose forms need their token, which is looked for in the upload before the page is."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(make_user("operator"))
    return client


def test_an_attachment_that_finds_no_room_is_no_mistake_of_ours(
    client: Client, make_account: Callable[..., Account], disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
    account, page = make_account("ops@example.com", **NOWHERE), reverse("outbox:compose")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).content.decode())
    assert token

    def send() -> Any:
        file = SimpleUploadedFile("report.pdf", b"%PDF-1.4" * 400_000, "application/pdf")
        typed = {"to": "ann@example.com", "subject": "Hi", "body_text": "Dear Ann", "attachments": file}
        return client.post(page, {"csrfmiddlewaretoken": token[1], "account": account.pk, **typed})

    disk.fill()
    answer = send()
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    words = answer.content.decode()
    assert "The database or the disk does not answer" in words and "<form" not in words
    assert not OutboxMessage.objects.exists()
    disk.free()
    assert send().status_code == 302
    assert OutboxMessage.objects.get().attachment_rows.get().filename == "report.pdf"
