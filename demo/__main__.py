"""Start a Dovecot with sample mailboxes and an SMTP sink, then the site with two accounts on them.

Everything is new at each start: what was tried out last time is gone. The data lie in var/demo, the mail of the
Dovecot in a temporary folder, because its processes are not ours and may not enter a home directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType

from demo.sample_bob import messages_of_bob
from demo.samples import messages_of_ann
from tests.servers.dovecot import Dovecot
from tests.servers.ports import ServerMissing
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Drop

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "var" / "demo"
ADMIN, ADMIN_PASSWORD = "demo", "prx-email-demo"
ANN, BOB = "ann@demo.example", "bob@demo.example"
TOKEN_DAYS = 30

WELCOME = f"""
The demo: two mailboxes on a Dovecot of its own. Nothing leaves this machine, and each start begins anew.
  Sign in as            {ADMIN} / {ADMIN_PASSWORD}
  Mailboxes             {ANN} (password) and {BOB} (OAuth token); they can write to each other
  See a send refused    write to anyone@refuse.example: the server says 550 and the mail waits for a decision
  See a send retried    write to anyone@slow.example: the server says 451 three times, then takes it
  See a question        write to anyone@lost.example: the connection ends before the server has answered to the mail
"""


def fill(dovecot: Dovecot) -> None:
    """Put different mail into each of the two mailboxes, oldest first, as it would have arrived."""
    now = datetime.now(UTC)
    for user, messages in ((ANN, messages_of_ann(now)), (BOB, messages_of_bob(now))):
        messages.sort(key=lambda message: -message.days_ago)
        for folder in dict.fromkeys(message.folder for message in messages):
            if folder.upper() != "INBOX":
                dovecot.create_folder(user, folder)
            arrived = [
                (each.raw, each.flags, now - timedelta(days=each.days_ago))
                for each in messages
                if each.folder == folder
            ]
            dovecot.append_many(user, folder, arrived)


def script(sink: SmtpServer) -> None:
    """Three domains show what goes wrong in real life. Rules count for the whole sink."""
    sink.refuse("RCPT", "550 5.1.1 There is nobody of that name here", containing="@refuse.example")
    sink.refuse("RCPT", "451 4.7.1 Greylisted, please try again later", containing="@slow.example", times=3)
    sink.on(".", Drop(keep_mail=True), containing="@lost.example")


def deliver_at_home(dovecot: Dovecot, mail: SinkMail) -> None:
    """Mail to one of the two mailboxes arrives there; all other mail ends here."""
    for user in {address.lower() for address in mail.rcpt_tos} & {ANN, BOB}:
        dovecot.append(user, "INBOX", mail.raw)


def add_accounts(dovecot: Dovecot) -> None:
    """One account by password, one by token, every folder chosen, and the first sync queued for the workers."""
    import django

    django.setup()
    from django.db import connection

    from mailbox.models import Account, Transport
    from mailbox.sync import folder_sync
    from mailbox.tasks import sync as sync_tasks

    token = dovecot.token(BOB, expires_in=TOKEN_DAYS * 86_400)
    for email, name, secret in (
        (ANN, "Ann Demo", {"password": dovecot.password}),
        (BOB, "Bob Demo", {"oauth_token": token}),
    ):
        imap = Transport(kind="imap", host=dovecot.host, port=dovecot.imap_port, user=email, **secret)
        smtp = Transport(
            kind="smtp", host=dovecot.host, port=dovecot.submission_port, security="starttls", user=email, **secret
        )
        for transport in (imap, smtp):
            transport.full_clean()
            transport.save()
        account = Account(email=email, display_name=name, imap=imap, smtp=smtp, ca_certificate=dovecot.ca_pem)
        account.full_clean()
        account.save()
        folder_sync.discover_folders(account.pk)
        account.folders.update(sync_enabled=True)
        sync_tasks.queue_sync(account.pk, None)
    connection.close()


def prepare_environment() -> None:
    """The demo's own folder and administrator, whatever the shell says about the real installation."""
    for name in [name for name in os.environ if name.startswith("PRX_EMAIL_") and name != "PRX_EMAIL_BIND"]:
        del os.environ[name]
    os.environ.pop("DATABASE_URL", None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "prx_email_site.settings",
        "PRX_EMAIL_DATA_DIR": str(DATA),
        "PRX_EMAIL_ADMIN_USER": ADMIN,
        "PRX_EMAIL_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True, mode=0o700)


def leave(_number: int, _frame: FrameType | None) -> None:
    """Until the launcher takes the signals over, a stop unwinds, so that the servers are stopped as well."""
    raise SystemExit(0)


def main() -> int:
    from prx_email_site import launch

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    prepare_environment()
    with tempfile.TemporaryDirectory(prefix="prx-demo-", ignore_cleanup_errors=True) as folder:
        sink = SmtpServer().start()
        dovecot = Dovecot(Path(folder), sink)
        try:
            launch.say("Starting Dovecot and filling two mailboxes ...")
            dovecot.start()
            fill(dovecot)
            script(sink)
            sink.deliver = partial(deliver_at_home, dovecot)
            return launch.main(before_start=lambda: add_accounts(dovecot), welcome=WELCOME)
        finally:
            dovecot.stop()
            sink.stop()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServerMissing as reason:
        sys.exit(str(reason))
