"""The web process is killed while a program sends: the program asks again with its key, and the mail goes out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from mailbox.models import Account, AuditEntry
from outbox.delivery import deliver
from outbox.models import OutboxMessage, OutboxRecipient
from tests.api.calling import Program, mail
from tests.servers.forked import Forked
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]

# Asks as the web process would be asked, once for each number: in a process that kills itself when it comes to this
# moment for the number's time, until one comes to its end before that.
ASKS = """
import django, json, os, signal, sys
django.setup()
from django.db import connection
from django.test import Client
from django.urls import get_resolver
get_resolver().url_patterns
moment, secret, account, ended = sys.argv[1:]
left = 0
def tick():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
def with_tick(step, before):
    def stepped(*args, **kwargs):
        if before:
            tick()
        answer = step(*args, **kwargs)
        if not before:
            tick()
        return answer
    return stepped
def ask(number):
    global left
    if moment == "before a statement":
        connection.execute_wrappers.append(lambda execute, *given: with_tick(execute, True)(*given))
    elif moment == "behind a commit":
        connection._commit = with_tick(connection._commit, False)
    else:
        os.fsync = with_tick(os.fsync, moment.startswith("before"))
    mail = {"account_id": int(account), "to": ["ann@example.com"], "subject": f"Number {number}"}
    mail["body_text"] = "Dear Ann"
    headers = {"authorization": f"Bearer {secret}", "idempotency-key": f"key-{number}", "host": "localhost"}
    left = number
    answer = Client().post("/api/v1/send", json.dumps(mail), content_type="application/json", headers=headers)
    os._exit(0 if answer.status_code == 202 else 1)
number, status = 0, -signal.SIGKILL
while status == -signal.SIGKILL:
    number += 1
    pid = os.fork()
    if pid == 0:
        ask(number)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert status == 0
open(ended, "w").write(str(number))
"""
MOMENTS = ("before a statement", "behind a commit", "before a write is durable", "behind a durable write")
SHORT = "behind a durable write"
FEWEST = {"before a statement": 10, "behind a commit": 2, "before a write is durable": 1, SHORT: 1}


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
    assert Forked(ASKS, moment, program.secret, account.pk, tmp_path / "ended").wait(300) == 0
    last = int((tmp_path / "ended").read_text())
    assert last > FEWEST[moment]
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
