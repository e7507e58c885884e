"""The newest release's code, as it was, on the tables of this one: alone, and beside this code's workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mailbox.models import Account, Message
from outbox import api
from outbox.models import OutboxMessage
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer
from tests.upgrade.released import manage, unpacked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

# What people do on its pages: read lists, a mail, an account, a send; write, retry, take back.
CLICKS = """
import json
from django.contrib.auth.models import User
from django.test import Client
from mailbox.models import Account, Message
from outbox.models import OutboxMessage, Draft, Operation
client = Client(SERVER_NAME="localhost")
user = User.objects.get(username="old")
client.force_login(user)
account, message, sent = Account.objects.first(), Message.objects.first(), OutboxMessage.objects.first()
pages = ["/", "/outbox/", "/messages/", "/accounts/", "/outbox/drafts/", "/quarantine/", "/activity/", "/alerts/"]
pages += [f"/accounts/{account.pk}/", f"/messages/{message.pk}/", f"/outbox/{sent.pk}/", "/outbox/compose/"]
said = {page: client.get(page).status_code for page in pages}
written = {"account": account.pk, "to": "bob@example.test", "subject": "from its page", "body_text": "A text."}
said["compose"] = client.post("/outbox/compose/", written).status_code == 302
said["operation"] = Operation.objects.create(verb="retry", upto_pk=0).pk > 0
said["draft"] = Draft.objects.create(user=user, account=account).pk > 0
print(json.dumps(said))
"""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder with that release's code."""
    return unpacked(tmp_path)


def write(account: Account, first: int) -> None:
    for number in range(first, first + 20):
        assert api.queue(account.pk, "bob@example.test", f"mail {number}", "A text.").data


def test_its_workers_and_pages_go_on_on_the_new_tables_and_beside_new_workers(
    released: Path,
    account_on: Callable[..., Account],
    start_workers: Callable[..., Cluster],
    make_user: Callable[..., object],
    smtp_server: Callable[..., SmtpServer],
    dovecot: Dovecot,
    tmp_path: Path,
) -> None:
    relay = smtp_server("tls")
    account = account_on(
        relay,
        imap_host=dovecot.host,
        imap_port=dovecot.imap_port,
        ca_certificate=dovecot.ca_pem + relay.ca_pem,
        sent_copy="never",
    )
    make_user(username="old")
    dovecot.append_many(account.email, "INBOX", [(letter(f"{n}"), (), None) for n in range(20)])
    write(account, 0)
    left = OutboxMessage.objects.exclude(status="sent")
    old = Cluster(tmp_path / "old.log", cwd=released)
    try:
        manage(released, "sync", account.email, "--all")
        wait_until(lambda: not left.exists(), seconds=120, what="its workers to send")
        assert Message.objects.count() == 20
        said = json.loads(manage(released, "shell", "-v", "0", "-c", CLICKS).strip().rpartition("\n")[2])
        assert {page: status for page, status in said.items() if status not in (200, True)} == {}
        write(account, 20)
        start_workers()
        write(account, 40)
        dovecot.append_many(account.email, "INBOX", [(letter(f"{n}"), (), None) for n in range(20, 40)])
        manage(released, "sync", account.email, "--all")
        wait_until(lambda: not left.exists() and Message.objects.count() == 40, seconds=120, what="both at work")
        old.stop()
        assert old.process.returncode == 0, old.log()
        write(account, 60)
        wait_until(lambda: not left.exists(), seconds=120, what="the new ones alone")
    except TimeoutError as error:
        raise AssertionError(f"{error}; {left.values_list('status', 'last_error')[:3]}\n{old.log()[-4000:]}") from error
    finally:
        old.stop()
    sent = Counter(mail.raw.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for mail in relay.mails())
    assert sent == Counter({"from its page": 1} | {f"mail {number}": 1 for number in range(80)})
    assert "IntegrityError" not in old.log() and "OperationalError" not in old.log()
