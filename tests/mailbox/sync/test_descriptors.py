"""A sync without a free descriptor, at each point of it: nothing is lost, doubled, or blamed on a message."""

from __future__ import annotations

from itertools import count

import pytest

from mailbox.models import Account, Lease, Message, Quarantine
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import account, fill, on_server, state_of, stored
from tests.servers.dovecot import Dovecot
from tests.servers.forked import Forked

__all__ = ["account"]
pytestmark = pytest.mark.django_db(transaction=True)
# It may open the second argument's number of descriptors besides those that it has. Six runs: a message at fault would
# be put aside by then.
WORKER = """
import os, resource, sys
import django
django.setup()
from mailbox.sync import folder_sync
has = {int(each) for each in os.listdir("/proc/self/fd")}
unused = [each for each in range(1000) if each not in has]
resource.setrlimit(resource.RLIMIT_NOFILE, (unused[int(sys.argv[2])], 4096))
for _ in range(6):
    folder_sync.sync(int(sys.argv[1]))
"""


def test_a_sync_that_finds_no_free_descriptor_puts_no_message_aside(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 8)
    for free in count():
        Forked(WORKER, account.pk, free).wait()
        assert not Quarantine.objects.exists(), free
        if Message.objects.exists():
            break
    Lease.objects.all().delete()
    while folder_sync.sync(account.pk).more_waiting:
        pass
    assert free > 3 and stored(account) == on_server(dovecot, account)
    assert Message.objects.count() == 8 and state_of(account).begun == {}
