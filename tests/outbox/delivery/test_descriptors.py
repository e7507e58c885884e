"""A worker without a free descriptor, at each point of a send: nothing is lost, doubled, or blamed on a mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes
from itertools import count

import pytest
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver, recovery
from outbox.models import OutboxMessage
from tests.servers.forked import Forked
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
# It may open the second argument's number of descriptors besides those that it has.
WORKER = """
import os, resource, sys
import django
django.setup()
from outbox.delivery import deliver
has = {int(each) for each in os.listdir("/proc/self/fd")}
unused = [each for each in range(1000) if each not in has]
resource.setrlimit(resource.RLIMIT_NOFILE, (unused[int(sys.argv[2])], 4096))
deliver.deliver_account(int(sys.argv[1]))
"""


def test_a_send_that_finds_no_free_descriptor_goes_on_by_itself_when_there_is_one(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("tls", pipelining=True)
    account, queued, now = account_on(server), 0, timezone.now()
    for free in count():
        for _ in range(3):
            queued += 1
            assert api.queue(account.pk, "bob@example.test", f"Mail {queued}", "A text.").ok
        Forked(WORKER, account.pk, free).wait()
        assert not OutboxMessage.objects.exclude(hold="").exists(), free
        if not OutboxMessage.objects.exclude(status="sent").exists():
            break

        now += timedelta(hours=1)
        recovery.recover(now)
        deliver.deliver_account(account.pk, clock=lambda: now)  # noqa: B023 (it ends in this round)
        assert set(OutboxMessage.objects.values_list("status", "hold")) == {("sent", "")}, free
    subjects = [message_from_bytes(mail.raw)["Subject"] for mail in server.mails()]
    assert free > 3 and sorted(subjects) == sorted(f"Mail {number}" for number in range(1, queued + 1))
