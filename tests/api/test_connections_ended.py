"""A database that ends connections at any instant while programs hand in mail, by SMTP and by the API: what was
answered with a yes is there once, and all else is a reason to try again."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import close_old_connections, connection, connections

from mailbox.models import Account, AuditEntry
from outbox.models import OutboxMessage
from tests.api.calling import Program, mail
from tests.api.submitting import MAIL, Submission, ops, secret, send, submission

__all__ = ["ops", "secret", "submission"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Only a server ends connections."),
]
END = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
SESSIONS, MAILS, TRIES, KILLS = 3, 8, 500, 40


@contextmanager
def connections_ended() -> Iterator[threading.Event]:
    """End them KILLS times at most; the event is set once there was one."""
    over, ended, chance = threading.Event(), threading.Event(), random.Random(7)

    def run() -> None:
        for _ in range(KILLS):  # not for ever: a slow machine would never get a mail through
            if over.wait(chance.uniform(0.02, 0.2)):
                break
            with connection.cursor() as cursor:
                cursor.execute(END)
                if cursor.fetchall():
                    ended.set()
        connections.close_all()

    ender = threading.Thread(target=run)
    ender.start()
    try:
        yield ended
    finally:
        over.set()
        ender.join()
        connections.close_all()  # this thread's, too


def test_each_mail_is_there_once(
    submission: Submission, ops: Account, secret: str, make_user: Callable[..., User]
) -> None:
    refused, programs = Counter[str](), [Program(make_user("operator", f"op{n}")) for n in range(SESSIONS)]
    for each in programs:
        each.client.raise_request_exception = False

    clients = [submission.connect(secret) for _ in range(SESSIONS)]

    def by_smtp(session: int) -> None:
        with clients[session] as client:
            for number in range(MAILS):
                content = MAIL.replace(b"<1@", f"<{session}-{number}@".encode()).replace(b"Hi", b"by SMTP")
                for _ in range(TRIES):
                    if (reply := send(client, content)).startswith("250"):
                        break
                    refused[reply[:9]] += 1
                    client.docmd("RSET")
                else:
                    raise AssertionError(f"never taken: {reply}")

    def by_api(session: int) -> None:
        program = programs[session]
        try:
            for number in range(MAILS):
                for _ in range(TRIES):
                    answer = program.post("/send", mail(ops), **{"idempotency-key": f"{session}-{number}"})
                    if answer.status_code == 202:
                        break
                    refused[str(answer.status_code)] += 1
                    close_old_connections()  # as behind each request; the tests' client leaves it out
                else:
                    raise AssertionError(f"never taken: {answer.content}")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2 * SESSIONS) as pool, connections_ended() as ended:
        asked = [pool.submit(way, session) for way in (by_smtp, by_api) for session in range(SESSIONS)]
        for each in asked:
            each.result()
    assert set(refused) <= {"451 4.3.0", "503"}, refused
    assert ended.is_set()
    assert Counter(OutboxMessage.objects.values_list("subject", flat=True)) == {
        "by SMTP": SESSIONS * MAILS,
        "Hi": SESSIONS * MAILS,
    }
    assert AuditEntry.objects.filter(verb="send").count() == 2 * SESSIONS * MAILS
