"""All parts behind PgBouncer as docs/operations.md sets it up: whichever session is free has the next transaction."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection

from mailbox import schedules
from mailbox.models import Account, Folder, Lease, MessagePlace
from outbox import api
from outbox.models import OutboxMessage
from tests.api.calling import Program
from tests.conftest import missing
from tests.mailbox.sync.synced import on_server, stored
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.pgbouncer import PgBouncer
from tests.servers.ports import ServerMissing, wait_until
from tests.servers.site import ROOT, Cluster, environment
from tests.servers.smtp import SmtpServer
from tests.workers.soak import WebServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.long,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="PgBouncer is for PostgreSQL."),
]
SESSIONS, MAILS = 4, 60  # sessions: far fewer than processes and threads, so that they are shared
Start = Callable[..., PgBouncer]


@pytest.fixture
def pgbouncer(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    made: list[PgBouncer] = []

    def start(**more: str) -> PgBouncer:
        folder = server_folder / f"pgbouncer-{request.node.name}-{len(made)}"
        made.append(PgBouncer(folder, connection.settings_dict, **more))
        try:
            return made[-1].start()
        except ServerMissing as reason:
            missing(reason)
            raise

    yield start
    for each in made:
        each.kill()


def manage(url: str, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    given = environment(DATABASE_URL=url, **more)
    return subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=given, capture_output=True, text=True)


def sessions_of(application: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [application])
        return int(cursor.fetchone()[0])


def test_workers_web_push_and_alerts_work_over_few_sessions(
    pgbouncer: Start, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], dovecot: Dovecot,
    start_workers: Callable[..., Cluster], make_user: Callable[..., User],
) -> None:  # fmt: skip
    pooler, relay = pgbouncer(default_pool_size=str(SESSIONS)), smtp_server("tls")
    trusted = {"imap_port": dovecot.imap_port, "ca_certificate": dovecot.ca_pem + relay.ca_pem, "sent_copy": "never"}
    account = account_on(relay, **trusted)
    Folder.objects.get_or_create(account=account, name="INBOX", defaults={"sync_enabled": True})
    schedules.make_schedules()
    secret = Program(make_user("administrator")).secret
    told = {"PRX_EMAIL_DATABASE_POOLING": "transaction", "PGAPPNAME": "pooled"}
    through, pages = pooler.url(), pooler.url("prx-email-pages")
    clusters = [start_workers(DATABASE_URL=through, **told) for _ in range(2)]
    parts = [*clusters, *(
        start_workers(command=("manage.py", *command), DATABASE_URL=through, **told)
        for command in (("idle",), ("alerts", "--every", "1"))
    )]  # fmt: skip
    web = WebServer(start_workers, DATABASE_URL=pages, **told)
    try:
        wait_until(Lease.objects.filter(purpose=Lease.Purpose.PUSH).exists, seconds=120, what="push")
        for number in range(MAILS):
            body: dict[str, object] = {"account_id": account.pk, "to": ["bob@example.test"], "body_text": "A text."}
            assert web.send(secret, f"pooled {number}", body | {"subject": f"pooled {number}"})
            dovecot.append(account.email, "INBOX", letter(f"in {number}"))
        left = OutboxMessage.objects.exclude(status="sent")
        wait_until(lambda: not left.exists(), seconds=180, what="all mail to be sent")
        wait_until(lambda: MessagePlace.objects.count() == MAILS, seconds=180, what="all mail to be fetched")
    except TimeoutError as error:
        raise AssertionError("\n".join([str(error), pooler.log(), *(each.log()[-2000:] for each in parts)])) from error
    took = Counter(mail.raw.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for mail in relay.mails())
    assert took == {f"pooled {number}": 1 for number in range(MAILS)}
    assert stored(account) == on_server(dovecot, account)
    assert 0 < sessions_of("pooled") <= 2 * SESSIONS  # by two names of the database
    for part in [*parts, web.service]:
        assert part.process.poll() is None
        assert "Error" not in part.log(), part.log()[-3000:]


def test_pages_end_their_statements_there_and_workers_do_not(pgbouncer: Start) -> None:
    pooler = pgbouncer()
    limits = "from django.db import connection; c = connection.cursor(); c.execute('SHOW statement_timeout')"
    for name, expected in (("prx-email", "0"), ("prx-email-pages", "30s")):
        done = manage(
            pooler.url(name), "shell", "-v", "0", "-c", f"{limits}; print(c.fetchone()[0])",
            PRX_EMAIL_DATABASE_POOLING="transaction",
        )  # fmt: skip
        assert done.stdout.split()[-1:] == [expected], done.stderr


def test_what_shares_sessions_is_refused_unless_the_settings_say_so(pgbouncer: Start) -> None:
    url, said = pgbouncer(ignore_startup_parameters="options").url(), {"PRX_EMAIL_DATABASE_POOLING": "transaction"}
    unsaid = manage(url, "check", "--database", "default")
    assert unsaid.returncode == 1 and "E002" in unsaid.stderr
    for command in (("migrate", "--verbosity", "0"), ("prepare",)):
        assert manage(url, *command).returncode == 1
    told = manage(url, "check", "--database", "default", **said)
    assert (told.returncode, "W007" in told.stderr) == (0, True), told.stderr
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {_name()} SET lock_timeout = '10s'")
    try:
        limited = manage(pgbouncer().url(), "check", "--database", "default", **said)
        assert (limited.returncode, "W007" in limited.stderr) == (0, False), limited.stderr
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {_name()} RESET lock_timeout")


def _name() -> str:
    return connection.ops.quote_name(connection.settings_dict["NAME"])


def test_what_would_change_others_sessions_goes_to_postgresql_itself(pgbouncer: Start, tmp_path: Path) -> None:
    url, said = pgbouncer().url(), {"PRX_EMAIL_DATABASE_POOLING": "transaction"}
    assert manage(url, "prepare", **said).returncode == 0
    for command in (("backup", str(tmp_path / "backup")), ("seed", "--messages", "1")):
        refused = manage(url, *command, **said)
        assert refused.returncode == 1 and "let DATABASE_URL name PostgreSQL itself" in refused.stderr


def test_sessions_of_ones_own_need_one_line_of_the_poolers(
    pgbouncer: Start, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer],
    start_workers: Callable[..., Cluster],
) -> None:  # fmt: skip
    url = pgbouncer(pool_mode="session", ignore_startup_parameters="options", default_pool_size="30").url()
    checked = manage(url, "check", "--database", "default")
    assert checked.returncode == 0, checked.stderr
    relay = smtp_server("tls")
    account = account_on(relay, sent_copy="never")
    start_workers(DATABASE_URL=url)
    assert api.queue(account.pk, "bob@example.test", "by a session", "A text.").data
    wait_until(lambda: len(relay.mails()) == 1, seconds=120, what="the mail")
