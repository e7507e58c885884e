"""One key, one mail: however often it is asked for, by whatever thread, and nothing else under the same key."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from mailbox.models import Account
from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.models import OutboxMessage
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db(transaction=True)
COMPOSE = "/outbox/compose/"


def ask(account: Account, **changes: Any) -> api.ApiResponse:
    asked: dict[str, Any] = {"to": "bob@example.test", "subject": "Hello", "body_text": "A text."}
    return api.queue(account.pk, **(asked | {"idempotency_key": "order-7"} | changes))


def at_once(acts: list[Callable[[], object]]) -> None:
    """Each in a thread of its own, all let go at one instant."""
    ready = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        ready.wait()
        try:
            act()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_same_call_answers_with_the_same_row(account: Account) -> None:
    first, again = ask(account), ask(account)
    assert first.data and again.data and first.data.outbox_id == again.data.outbox_id
    assert OutboxMessage.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"to": "eve@example.test"},
        {"cc": "eve@example.test"},
        {"bcc": "eve@example.test"},
        {"subject": "Other"},
        {"body_text": "Other"},
        {"body_html": "<p>Other</p>"},
        {"attachments": [AttachmentInput("a.txt", "text/plain", content=b"other")]},
    ],
)
def test_another_mail_under_the_same_key_is_refused_and_told(account: Account, change: dict[str, Any]) -> None:
    known = ask(account).data
    assert known
    refused = ask(account, **change)
    assert not refused.ok and refused.error and refused.error.code == "Validation"
    assert f"used before, for another mail (outbox {known.outbox_id})" in refused.error.message
    assert OutboxMessage.objects.count() == 1


def test_attachments_are_compared_by_their_bytes(account: Account) -> None:
    files = [AttachmentInput("a.txt", "text/plain", content=b"one")]
    assert ask(account, attachments=files).ok and ask(account, attachments=files).ok
    refused = ask(account, attachments=[AttachmentInput("a.txt", "text/plain", content=b"two")])
    assert refused.error and refused.error.code == "Validation"


def test_a_row_written_before_digests_were_kept_is_still_known(account: Account) -> None:
    first = ask(account)
    OutboxMessage.objects.update(request_digest=None)
    assert ask(account, subject="Other").data == first.data


def test_other_accounts_have_keys_of_their_own(account: Account, make_account: Callable[..., Account]) -> None:
    assert ask(account).ok and ask(make_account("other@example.com", **NOWHERE), subject="Other").ok
    assert OutboxMessage.objects.count() == 2


def test_calls_at_one_instant_make_one_row(account: Account) -> None:
    answers: list[api.ApiResponse] = []
    at_once([lambda: answers.append(ask(account))] * 6)
    assert len({answer.data.outbox_id for answer in answers if answer.data}) == 1 == OutboxMessage.objects.count()
    assert all(answer.ok for answer in answers)


def test_different_calls_at_one_instant_make_one_row_and_the_others_are_told(account: Account) -> None:
    answers: list[api.ApiResponse] = []
    at_once([lambda n=n: answers.append(ask(account, subject=f"Mail {n}")) for n in range(4)])  # type: ignore[misc]
    assert sorted(answer.ok for answer in answers) == [False, False, False, True]
    assert OutboxMessage.objects.count() == 1


def test_a_double_click_on_send_is_one_mail_and_leads_to_it_twice(
    account: Account, make_user: Callable[..., User]
) -> None:
    user, places = make_user("operator"), []
    typed = {"account": account.pk, "to": "a@example.com", "subject": "S", "body_text": "T"}
    typed["idempotency_key"] = str(uuid.uuid4())

    def click() -> None:
        client = Client()
        client.force_login(user)
        file = SimpleUploadedFile("a.pdf", b"%PDF-1.4", "application/pdf")
        places.append(client.post(COMPOSE, typed | {"attachments": file})["Location"])

    at_once([click, click])
    assert places == [f"/outbox/{OutboxMessage.objects.get().pk}/"] * 2
