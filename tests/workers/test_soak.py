"""A whole site at work while something breaks each minute: nothing is lost or doubled, and what lives on does not grow.

SOAK_MINUTES=480 makes the night of it by hand; SOAK_SEED repeats the faults of an earlier run.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from mailbox import schedules
from mailbox.models import Account, Folder, Message, MessagePlace
from mailbox.queueing import queue
from mailbox.storage import raw_store
from outbox.models import OutboxMessage
from tests.api.calling import Program
from tests.mailbox.sync.synced import on_server, stored
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.redis import RedisServer
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer
from tests.workers.soak import Soak

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
MINUTES = int(os.environ.get("SOAK_MINUTES", "20"))
SEED = int(os.environ.get("SOAK_SEED") or random.randrange(10**6))
SENT, RECEIVED = 20, 10  # a minute; received: by each account
GROWTH = 1.25  # of memory and descriptors of what lives on; in twenty minutes its parts still load what they need first


@pytest.fixture
def relay(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    return smtp_server("tls")


@pytest.fixture
def accounts(account_on: Callable[..., Account], relay: SmtpServer, dovecot: Dovecot) -> list[Account]:
    trusted = {"imap_port": dovecot.imap_port, "ca_certificate": dovecot.ca_pem + relay.ca_pem, "sent_copy": "never"}
    made = [account_on(relay, **trusted) for _ in range(2)]
    for account in made:
        Folder.objects.get_or_create(account=account, name="INBOX", defaults={"sync_enabled": True})
    return made


def subject(number: int) -> str:
    return f"soak {number}"


def write(soak: Soak, number: int, accounts: list[Account], secret: str) -> None:
    """Ask for the minute's mails at either web server, again until one says that it has them: by the same key."""
    for each in range(SENT):
        account, name = accounts[each % len(accounts)], subject(number * SENT + each)
        body: dict[str, object] = {"account_id": account.pk, "to": ["bob@example.test"], "subject": name}
        body["body_text"] = "A text."
        webs = [soak.other_web, soak.web] if each % 2 else [soak.web, soak.other_web]
        wait_until(
            lambda body=body, name=name, webs=webs: any(web.send(secret, name, body) for web in webs),  # type: ignore[misc]
            seconds=120,
            what=f"{name} to be taken",
        )


def bring(number: int, accounts: list[Account], dovecot: Dovecot) -> None:
    for account in accounts:
        mails = [(letter(f"in {number} {each}"), (), None) for each in range(RECEIVED)]
        dovecot.append_many(account.email, "INBOX", mails)


def test_nothing_is_lost_doubled_or_grows_while_something_breaks_each_minute(
    accounts: list[Account], relay: SmtpServer, dovecot: Dovecot, redis: RedisServer,
    start_workers: Callable[..., Cluster], make_user: Callable[..., User],
) -> None:  # fmt: skip
    print(f"SOAK_SEED={SEED}", flush=True)
    schedules.make_schedules()
    secret = Program(make_user("administrator")).secret
    soak = Soak(start_workers, relay, dovecot, redis, SEED)
    begun = time.monotonic()

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > end, seconds=seconds + 60, what="the time of a fault")

    for number in range(MINUTES):
        bring(number, accounts, dovecot)
        write(soak, number, accounts, secret)
        fault = soak.next_fault()
        fault(wait)
        queue("mailbox.tasks.sync_tick", group="sync")
        wait_until(lambda n=number: time.monotonic() > begun + 60 * (n + 1), seconds=180, what="the minute's end")  # type: ignore[misc]
        for part in soak.steady:
            part.measure()
        print(f"{number}: {fault.__name__}", [part.samples[-1] for part in soak.steady], flush=True)
    wait_for_all(accounts)
    uncertain = set(OutboxMessage.objects.filter(hold="uncertain").values_list("subject", flat=True))
    print(f"{len(uncertain)} uncertain", *soak.steady, sep="\n", flush=True)
    took = Counter(mail.raw.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for mail in relay.mails())
    assert set(took) | uncertain == {subject(number) for number in range(MINUTES * SENT)}
    assert max(took.values()) == 1 and OutboxMessage.objects.count() == MINUTES * SENT
    for account in accounts:
        each_mail_is_stored_once(account, dovecot)
    for part in soak.steady:
        assert part.service.process.poll() is None, part.service.log()[-3000:]
        assert max(part.growth()) <= GROWTH, part


def wait_for_all(accounts: list[Account]) -> None:
    left = OutboxMessage.objects.exclude(status="sent").exclude(hold="uncertain")
    wait_until(lambda: not left.exists(), seconds=900, what="all mail to be sent")
    expected = MINUTES * RECEIVED * len(accounts)
    wait_until(lambda: MessagePlace.objects.count() >= expected, seconds=300, what="all mail to be fetched")


def each_mail_is_stored_once(account: Account, dovecot: Dovecot) -> None:
    """What lies at the server, by UID and SHA-256, and the bytes that are read of the store."""
    there = on_server(dovecot, account)
    assert len(there) == MINUTES * RECEIVED and stored(account) == there
    digests = list(Message.objects.filter(account=account).values_list("raw_digest", flat=True))
    assert sorted(digests) == sorted(digest for _, _, digest in there)
    for digest in digests:
        assert hashlib.sha256(raw_store.open_raw(digest)).hexdigest() == digest
