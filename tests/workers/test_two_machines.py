"""Two machines with one PostgreSQL, one Redis and one folder of stored mail, as docs/operations.md has them: one dies
in the middle of its work, and nothing is lost or doubled."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as present
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from mailbox import schedules
from mailbox.models import Account, Message
from mailbox.storage import raw_store
from outbox import api
from outbox.models import DeliveryAttempt, Installation, OutboxMessage, SendingSwitch
from prx_email_site.settings.raw_store import raw_storage_of
from tests.conftest import missing
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.machines import Machine, machines
from tests.servers.ports import ServerMissing, wait_until
from tests.servers.redis import RedisServer
from tests.servers.site import environment
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
ACCOUNTS, RECEIVED, SENT = 4, 150, 40  # mails of each account
RELAY_SECONDS = 0.3  # what the relay takes for a mail


@pytest.fixture
def shared(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRX_EMAIL_RAW_DIR", str(tmp_path / "shared"))
    settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(tmp_path)}
    return tmp_path / "shared"


@pytest.fixture
def relay(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    return smtp_server("tls", deliver=lambda mail: time.sleep(RELAY_SECONDS))


@pytest.fixture
def accounts(make_account: Callable[..., Account], relay: SmtpServer, dovecot: Dovecot) -> list[Account]:
    """Each with mail on its server, and none to send yet."""
    smtp = {"smtp_host": "localhost", "smtp_port": relay.port, "smtp_security": "tls"}
    trusted = {"ca_certificate": dovecot.ca_pem + relay.ca_pem}
    made = [make_account(sent_copy="never", **smtp, **trusted) for _ in range(ACCOUNTS)]
    for account in made:
        dovecot.append_many(account.email, "INBOX", [(letter(f"{n}"), (), None) for n in range(RECEIVED)])
    return made


def start(machine: Machine, redis: RedisServer, folder: Path) -> None:
    own = folder / machine.name
    own.mkdir()
    says = environment(
        PRX_EMAIL_TEST_FOLDER=str(own),
        PRX_EMAIL_BROKER_URL=redis.url,
        PRX_EMAIL_SECRET_KEY=present.SECRET_KEY,
        PRX_EMAIL_ENCRYPTION_KEYS=",".join(present.ENCRYPTION_KEYS),
        PRX_EMAIL_WORKERS="3",
        # A worker serves one account: both machines' workers are needed for all.
        PRX_EMAIL_OUTBOX_COURIERS="4",
        PRX_EMAIL_OUTBOX_SESSIONS="1",
    )
    for part in (["qcluster"], ["idle"], ["alerts", "--every", "5"]):
        machine.run("manage.py", *part, environment={**says, "PGAPPNAME": f"{machine.name} {part[0]}"})


def at_work() -> set[str]:
    """Machines that delivered."""
    return {worker.partition("/")[0] for worker in DeliveryAttempt.objects.values_list("worker", flat=True)}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Two machines need PostgreSQL.")
def test_one_of_two_machines_dies_and_the_other_finishes_its_work(
    accounts: list[Account], relay: SmtpServer, redis: RedisServer, shared: Path, tmp_path: Path
) -> None:
    imap = accounts[0].imap
    ports = [int(connection.settings_dict["PORT"]), redis.port, imap.port, relay.port]
    schedules.make_schedules()
    SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": timezone.now()})
    try:
        with machines(["one", "two"], ports, tmp_path) as (one, two):
            for machine in (one, two):
                start(machine, redis, tmp_path)
            # A further host asks once whether it is a copy: the operator says that it is none.
            wait_until(lambda: Installation.objects.count() == 2, seconds=240, what="both machines")
            for account in accounts:
                for number in range(SENT):
                    assert api.queue(account.pk, "bob@example.test", f"{account.pk}/{number}", "A text.").data
            SendingSwitch.objects.update(paused_at=None)
            wait_until(lambda: len(at_work()) == 2 and len(relay.mails()) > SENT, seconds=240, what="both at work")
            one.kill()
            left = OutboxMessage.objects.exclude(status="sent").exclude(hold="uncertain")
            wait_until(lambda: not left.exists(), seconds=300, what="the rest to be sent by the other")
            wait_until(lambda: Message.objects.count() == ACCOUNTS * RECEIVED, seconds=300, what="all mail")
            assert left.count() == 0 and two.pids()
    except ServerMissing as reason:
        missing(reason)
    except TimeoutError as error:
        logs = "".join(path.read_text(errors="replace")[-3000:] for path in tmp_path.glob("*.log"))
        raise AssertionError(f"{error}\n{logs}") from error
    subjects = Counter(mail.raw.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for mail in relay.mails())
    uncertain = set(OutboxMessage.objects.filter(hold="uncertain").values_list("subject", flat=True))
    assert set(subjects) | uncertain == {f"{account.pk}/{number}" for account in accounts for number in range(SENT)}
    assert max(subjects.values()) == 1
    assert len(uncertain) <= 3  # the workers of the machine that died
    digests = list(Message.objects.values_list("raw_digest", flat=True))
    assert len(set(digests)) == len(digests) and all(raw_store.open_raw(digest) for digest in digests)
    assert Counter(Message.objects.values_list("account", flat=True)) == {each.pk: RECEIVED for each in accounts}
    assert not os.path.exists(tmp_path / "one" / "main" / "raw")  # nothing was written beside the shared folder
