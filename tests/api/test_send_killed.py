"""The web process is killed while a program or a person sends: asked again with its key, the mail goes out once."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AuditEntry
from outbox.delivery import deliver
from outbox.models import OutboxMessage, OutboxRecipient
from tests.api.calling import Program, mail
from tests.api.killed_anywhere import MOMENTS, SHORT, hand_over_and_die
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]

BEFORE = """
from django.test import Client
from django.urls import get_resolver
get_resolver().url_patterns
"""
HAND_OVER = """
mail = {"account_id": int(account), "to": ["ann@example.com"], "subject": f"Number {number}", "body_text": "Dear Ann"}
headers = {"authorization": f"Bearer {secret}", "idempotency-key": f"key-{number}", "host": "localhost"}
left = number
answer = Client().post("/api/v1/send", json.dumps(mail), content_type="application/json", headers=headers)
os._exit(0 if answer.status_code == 202 else 1)
"""


@pytest.mark.parametrize(
    "moment", [pytest.param(each, marks=() if each == SHORT else pytest.mark.long) for each in MOMENTS]
)
def test_killed_at_each_step_a_mail_that_is_asked_for_again_goes_out_once(
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    make_user: Callable[..., User],
    tmp_path: Path,
    moment: str,
) -> None:
    sink = smtp_server("tls")
    account = account_on(sink)
    program = Program(make_user("administrator"))
    last = hand_over_and_die(BEFORE, HAND_OVER, moment, program.secret, account.pk, tmp_path)
    for number in range(1, last + 1):
        given, key = mail(account, subject=f"Number {number}"), f"key-{number}"
        again = program.post("/send", given, **{"idempotency-key": key})
        assert again.status_code == 202, again.content
        row = OutboxMessage.objects.get(idempotency_key=f"api:{key}")
        assert (row.pk, OutboxRecipient.objects.filter(outbox=row).count()) == (again.json()["data"]["outbox_id"], 1)
        assert AuditEntry.objects.filter(verb="send", target=f"outbox:{row.pk}").count() == 1
    deliver.deliver_account(account.pk)
    taken = Counter(line for each in sink.mails() for line in each.raw.splitlines() if line.startswith(b"Subject:"))
    assert taken == {f"Subject: Number {number}".encode(): 1 for number in range(1, last + 1)}


PAGE = """
client = Client(headers={"host": "localhost"})
client.cookies["sessionid"] = secret
typed = {"account": account, "to": "ann@example.com", "subject": f"Number {number}", "body_text": "Dear Ann"}
left = number
answer = client.post("/outbox/compose/", typed | {"idempotency_key": str(uuid.UUID(int=number))})
os._exit(0 if answer.status_code == 302 else 1)
"""


@pytest.mark.parametrize(
    "moment", [pytest.param(each, marks=() if each == SHORT else pytest.mark.long) for each in MOMENTS]
)
def test_killed_at_each_step_a_mail_whose_form_is_sent_again_goes_out_once(
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    make_user: Callable[..., User],
    client: Client,
    tmp_path: Path,
    moment: str,
) -> None:
    sink = smtp_server("tls")
    account = account_on(sink)
    client.force_login(make_user("operator"))
    session = client.cookies["sessionid"].value
    last = hand_over_and_die(f"{BEFORE}import uuid\n", PAGE, moment, session, account.pk, tmp_path)
    for number in range(1, last + 1):
        typed = {"account": account.pk, "to": "ann@example.com", "subject": f"Number {number}", "body_text": "Dear Ann"}
        again = client.post(reverse("outbox:compose"), typed | {"idempotency_key": str(uuid.UUID(int=number))})
        assert again.status_code == 302
    assert AuditEntry.objects.filter(verb="send").count() == OutboxMessage.objects.count() == last
    deliver.deliver_account(account.pk)
    taken = Counter(line for each in sink.mails() for line in each.raw.splitlines() if line.startswith(b"Subject:"))
    assert taken == {f"Subject: Number {number}".encode(): 1 for number in range(1, last + 1)}
