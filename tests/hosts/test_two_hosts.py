"""The lines of docs/operations.md make two hosts that work as one: nothing is lost or doubled when one is cut off,
killed or upgraded, as the mail server has it; and the other takes over."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.conftest import missing
from tests.hosts import team as teams
from tests.hosts.document import block
from tests.hosts.host import Host, commit
from tests.hosts.team import TEAM, Team
from tests.rows import letter
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.ports import ServerMissing
from tests.servers.site import ROOT
from tests.servers.smtp import SmtpServer

pytestmark = [
    pytest.mark.long,
    # They have a PostgreSQL of their own: one of both runs is enough.
    pytest.mark.skipif(connection.vendor != "sqlite", reason="It does not matter which database other tests have."),
]
ACCOUNTS, EACH = 4, 25
RELAY_SECONDS = 0.5  # what the relay takes for a mail
PING = {"method": "GET", "path": "/sending"}
STORED = """SELECT place.raw_digest FROM message_places place JOIN folders ON folders.id = folder_id
JOIN accounts ON accounts.id = folders.account_id WHERE email = %s AND place.gone_at IS NULL"""


class Correspondence:
    """Mail on its way in and out, and what became of it."""

    def __init__(self, team: Team, dovecot: Dovecot, relay: SmtpServer) -> None:
        self.team, self.dovecot, self.relay = team, dovecot, relay
        self.accounts = [f"host{number}@example.test" for number in range(ACCOUNTS)]
        self.written: set[str] = set()

    def write(self, mark: str, count: int, *hosts: Host) -> None:
        """By the API, at these hosts in turns; each is asked once more where there was no answer, by the same key."""
        pks = dict(self.team.sql("SELECT email, id FROM accounts"))
        for turn, host in enumerate(hosts):
            mine = [f"{mark} {number}" for number in range(count) if number % len(hosts) == turn]
            asked = [self.asking(subject, pks[self.accounts[n % ACCOUNTS]]) for n, subject in enumerate(mine)]
            assert {answer["status"] for answer in self.team.ask(host, *asked)} <= {200, 202}
            self.written |= set(mine)

    def asking(self, subject: str, account: int) -> dict[str, Any]:
        body = {"account_id": account, "to": ["bob@example.test"], "subject": subject, "body_text": "A text."}
        return {"method": "POST", "path": "/send", "body": body, "headers": {"Idempotency-Key": subject}}

    def bring(self, mark: str, count: int = EACH) -> None:
        for account in self.accounts:
            self.dovecot.append_many(account, "INBOX", [(letter(f"{mark} {n}"), (), None) for n in range(count)])

    def is_fetched(self) -> bool:
        wanted = sum(len(self.dovecot.messages(account)) for account in self.accounts)
        return self.team.count("SELECT count(*) FROM messages") >= wanted

    def left(self) -> int:
        return self.team.count("SELECT count(*) FROM outbox WHERE status <> 'sent' AND hold <> 'uncertain'")

    def at_work(self, host: Host, since: datetime) -> int:
        of_host = "worker LIKE %s AND started_at > %s"
        return self.team.count(f"SELECT count(*) FROM delivery_attempts WHERE {of_host}", f"{host.name}/%", since)

    def is_whole(self, *, questions: int = 0) -> None:
        """All that was written went out once, but what a person is asked about; all that came is stored once."""
        self.team.wait(lambda: self.left() == 0, "all mail to be sent")
        uncertain = {s for (s,) in self.team.sql("SELECT subject FROM outbox WHERE hold = 'uncertain'")}
        sent = Counter(re.findall(rb"^Subject: (.*?)\r\n", mail.raw, re.M)[0].decode() for mail in self.relay.mails())
        assert max(sent.values()) == 1, [subject for subject, times in sent.items() if times > 1]
        assert set(sent) | uncertain == self.written and len(uncertain) <= questions, uncertain
        assert self.team.count("SELECT count(*) FROM outbox") == len(self.written)
        self.team.wait(self.is_fetched, "all mail to be fetched")
        for account in self.accounts:
            there = Counter(hashlib.sha256(raw).hexdigest() for raw in self.dovecot.messages(account).values())
            assert Counter(digest for (digest,) in self.team.sql(STORED, account)) == there


@pytest.fixture(scope="module")
def relay(certificates: Certificates) -> Iterator[SmtpServer]:
    server = SmtpServer("tls", certificates, require_auth=True, deliver=lambda mail: time.sleep(RELAY_SECONDS))
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def mail(
    tmp_path_factory: pytest.TempPathFactory, _dovecot: Dovecot, relay: SmtpServer, certificates: Certificates
) -> Iterator[Correspondence]:
    folder: Path = tmp_path_factory.mktemp("hosts")
    try:
        with teams.team(folder, _dovecot, relay, certificates) as team:
            found = Correspondence(team, _dovecot, relay)
            for account in found.accounts:
                teams.add_account(team.first, account, _dovecot, relay)
            team.wait(team.is_paused, "the second host to ask whether it is a copy")
            team.resume()
            yield found
    except ServerMissing as reason:
        missing(reason)


def now() -> datetime:
    return datetime.now(UTC)


def test_what_one_host_takes_the_other_shows(mail: Correspondence) -> None:
    """By the API and by submission, out and in; each unit that the lines start is there."""
    team, since = mail.team, now()
    mail.write("one", 8, team.first, team.second)
    for host in team.hosts:
        said = {"account": mail.accounts[0], "to": "bob@example.test", "ca": mail.relay.ca_pem}
        assert team.ask(host, said | {"subject": f"submitted at {host.name}"})[0]["status"] == 250
        mail.written.add(f"submitted at {host.name}")
    mail.bring("in")
    mail.is_whole()
    for host in team.hosts:
        shown = {each["subject"]: each["status"] for each in team.get(host, "/outbox?limit=100")["data"]["items"]}
        assert shown == dict.fromkeys(mail.written, "sent")
        assert len(team.get(host, "/messages?limit=500")["data"]["items"]) == ACCOUNTS * EACH
        languages = "shell -v 0 -c 'from django.conf import settings; print(len(settings.LANGUAGES))'"
        assert int(host.manage(languages).split()[-1]) == len(list(Path(ROOT, "locale").iterdir()))
    parts = {(host.name, role) for host in team.hosts for role in ("web", "workers", "push", "alerts", "submission")}
    seen = "SELECT DISTINCT host, role FROM process_heartbeats WHERE seen_at > %s"
    team.wait(lambda: set(team.sql(seen, since)) == parts, "a sign of life of each part on each host", seconds=120)


def test_a_host_that_is_cut_off_and_comes_back_loses_and_doubles_nothing(mail: Correspondence) -> None:
    team = mail.team
    since = now()
    mail.write("before the cut", 120, team.first, team.second)
    team.wait(lambda: all(mail.at_work(host, since) for host in team.hosts), "both to deliver")
    pk = team.count("SELECT min(id) FROM accounts")
    begin, cut = time.monotonic(), now()
    team.first.machine.cut()
    try:
        mail.bring("in the cut", 5)
        took = team.takes_over(team.second, ACCOUNTS, begin, cut)
        print(f"cut off: {took}", flush=True)  # docs/benchmarks.md
        (refused,) = team.ask(team.first, mail.asking("asked twice", pk))
        assert refused["status"] in (0, 500, 502, 503, 504), refused
        (taken,) = team.ask(team.second, mail.asking("asked twice", pk))
        assert taken["status"] in (200, 202), taken
        mail.written.add("asked twice")
        team.wait(lambda: mail.left() == 0, "the other to send the rest")
    finally:
        team.first.machine.mend()
    back = now()
    (same,) = team.ask(team.first, mail.asking("asked twice", pk))
    if same["status"] == 503:  # its connections had not noticed yet
        team.wait(lambda: team.ask(team.first, mail.asking("asked twice", pk))[0]["status"] in (200, 202), "its answer")
    mail.write("after the cut", 60, team.first, team.second)
    team.wait(lambda: mail.at_work(team.first, back), "the first to deliver again")
    team.wait(lambda: team.count(teams.HELD, "first/%") > 0, "the first to listen again")
    mail.is_whole(questions=ACCOUNTS)  # one sender an account at most was in its final dot


def test_a_host_that_is_killed_is_stood_in_for_and_started_again_without_a_question(mail: Correspondence) -> None:
    team, since = mail.team, now()
    mail.write("before the kill", 80, team.first, team.second)
    team.wait(lambda: all(mail.at_work(host, since) for host in team.hosts), "both to deliver")
    begin, killed = time.monotonic(), now()
    holder = team.first.holder
    for pid in team.first.machine.pids():
        with suppress(OSError):  # it has ended by now
            if pid != holder and "tests.servers.forward" not in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
    mail.bring("after the kill", 5)
    took = team.takes_over(team.second, ACCOUNTS, begin, killed)
    print(f"killed: {took}", flush=True)  # docs/benchmarks.md
    mail.is_whole(questions=2 * ACCOUNTS)
    lines = block(TEAM, "systemctl stop").splitlines()
    team.first.type(next(line for line in lines if line.startswith("systemctl start")))
    team.wait(lambda: team.count(teams.HELD, "first/%") > 0, "the first to listen again")
    assert not team.is_paused()


def killed(host: Host, *words: str) -> None:
    """SIGKILL to what runs there with one of these words in its command, with all that it started."""
    for pid in host.machine.pids():
        with suppress(OSError):  # it has ended by now
            said = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if any(word.encode() in said for word in words):
                os.kill(pid, signal.SIGKILL)


def test_parts_and_servers_that_are_killed_in_turns_cost_and_double_no_mail(mail: Correspondence) -> None:
    """Each while mail goes in and out by both hosts; what was killed is started again, as a service manager does."""
    team, db = mail.team, mail.team.db
    version = db.type("ls /etc/postgresql").split()[-1]
    cluster = f"pg_ctlcluster --skip-systemctl-redirect {version} main"

    def relay_is_away() -> None:
        mail.relay.stop()
        mail.relay.start()

    def dovecot_is_killed() -> None:
        mail.dovecot.kill()
        mail.dovecot.start()

    kills: dict[str, Callable[[], object]] = {
        "redis": lambda: (killed(db, "redis-server 0.0.0.0:6379"), db.type("systemctl restart redis-server")),
        "the database": lambda: db.type(f"{cluster} stop -m immediate && {cluster} start"),
        "dovecot": dovecot_is_killed,
        "the relay": relay_is_away,
        "workers": lambda: [killed(host, "qcluster") for host in team.hosts],
        "push and alerts": lambda: [killed(host, "idle", "alerts") for host in team.hosts],
        "web and submission": lambda: [killed(host, "gunicorn", "submission") for host in team.hosts],
    }
    for name, kill in kills.items():
        since = now()
        mail.write(f"{name} is killed", 40, team.first, team.second)
        mail.bring(f"{name} is killed", 5)
        team.wait(lambda since=since: all(mail.at_work(host, since) for host in team.hosts), "both to deliver")
        kill()
        begin = time.monotonic()
        team.wait(lambda: mail.left() == 0 and mail.is_fetched(), f"all to settle after {name}")
        print(f"{name}: settled after {time.monotonic() - begin:.1f} s", flush=True)  # docs/benchmarks.md
        asked = "SELECT count(*) FROM outbox WHERE hold = 'uncertain'"
        print(f"questions: {team.count(asked)}", flush=True)
        team.wait(lambda: all(team.ask(host, PING)[0]["status"] == 200 for host in team.hosts), "the web servers")
    # In each kill that ends attempts one sender an account was in its final dot at most.
    mail.is_whole(questions=len(kills) * ACCOUNTS)


def test_hosts_are_upgraded_one_after_the_other_while_mail_goes_in_and_out(mail: Correspondence) -> None:
    """A release that has another number; what its tables may be is tests/upgrade's."""
    team = mail.team
    project = team.source / "pyproject.toml"
    project.write_text(re.sub(r'^version = ".*"', 'version = "99.0.0"', project.read_text(), count=1, flags=re.M))
    commit(team.source, "another release")
    for host in team.hosts:
        mail.write(f"before {host.name} stops", 40, *team.hosts)
        mail.bring(f"while {host.name} is upgraded", 5)
        host.type(block(TEAM, "systemctl stop"))
        mail.write(f"after {host.name} started", 20, *team.hosts)
    mail.is_whole(questions=2 * ACCOUNTS)
    new = "SELECT count(DISTINCT host) FROM process_heartbeats WHERE release = '99.0.0' AND role = 'workers'"
    team.wait(lambda: team.count(new) == 2, "the heartbeats of both")
    assert not team.is_paused()
