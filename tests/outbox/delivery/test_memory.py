"""A worker whose memory runs out, at several points of a send: nothing is lost, doubled, or blamed on a mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes

import pytest
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver, recovery
from outbox.models import OutboxMessage
from tests.servers.forked import Forked
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
# It may use the second argument's MiB besides what it has.
WORKER = """
import resource, sys
import django
django.setup()
from outbox.delivery import deliver
has = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (has + int(sys.argv[2]) * 2**20, -1))
deliver.deliver_account(int(sys.argv[1]))
"""
TEXT = "A text. " * 300_000  # 2.4 MB, so that memory runs out while a mail is prepared or written, too


@pytest.mark.parametrize("free", [0, 12, 16, 32, 64])
def test_a_send_that_runs_out_of_memory_is_finished_or_asked_about_and_no_mail_goes_twice(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], free: int
) -> None:
    server = smtp_server("tls", pipelining=True)
    account, now = account_on(server), timezone.now() + timedelta(hours=1)
    for number in (1, 2):
        assert api.queue(account.pk, "bob@example.test", f"Mail {number}", TEXT).ok

    Forked(WORKER, account.pk, free).wait()
    recovery.recover(now)
    deliver.deliver_account(account.pk, clock=lambda: now)

    taken = [message_from_bytes(mail.raw)["Subject"] for mail in server.mails()]
    asked = {*OutboxMessage.objects.filter(status="failed", hold="uncertain").values_list("subject", flat=True)}
    sent = {*OutboxMessage.objects.filter(status="sent", hold="").values_list("subject", flat=True)}
    assert sent | asked == {"Mail 1", "Mail 2"}  # asked: where memory ran out between the end of a mail and its answer
    assert sent <= {*taken} and len({*taken}) == len(taken)
