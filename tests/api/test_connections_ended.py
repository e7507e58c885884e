"""A database that ends connections at any instant while programs hand in mail, by SMTP and by the API: what was
answered with a yes is there once, and all else is a reason to try again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import close_old_connections, connection, connections

from mailbox.models import Account, AuditEntry
from outbox.models import OutboxMessage
from tests.api.calling import Program, mail
from tests.api.submitting import MAIL, Submission, ops, secret, send, submission
from tests.servers.ended_connections import connections_ended

__all__ = ["ops", "secret", "submission"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Only a server ends connections."),
]
SESSIONS, MAILS, TRIES, KILLS = 3, 8, 500, 40  # a bound, as a slow machine would never get a mail through


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

    with ThreadPoolExecutor(2 * SESSIONS) as pool, connections_ended(KILLS, longest=0.2) as ended:
        asked = [pool.submit(way, session) for way in (by_smtp, by_api) for session in range(SESSIONS)]
        for each in asked:
            each.result()
    connections.close_all()  # this thread's was ended, too
    assert set(refused) <= {"451 4.3.0", "503"}, refused
    assert sum(ended)
    assert Counter(OutboxMessage.objects.values_list("subject", flat=True)) == {
        "by SMTP": SESSIONS * MAILS,
        "Hi": SESSIONS * MAILS,
    }
    assert AuditEntry.objects.filter(verb="send").count() == 2 * SESSIONS * MAILS
