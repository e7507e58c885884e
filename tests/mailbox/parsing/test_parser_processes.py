"""Mails are read in processes beside the worker: what happens to those harms no other mail, and no worker."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailbox.models import Account, Message, Quarantine
from mailbox.parsing import parse_job, parser
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing import process as parsing_process
from mailbox.parsing.parse_job import ParseJob
from mailbox.sync.folder_sync import sync
from tests.mailbox.sync.synced import fill, mail, on_server, stored
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import ROOT, environment

pytestmark = pytest.mark.processes


def order(raw: bytes) -> ParseJob:
    return ParseJob(raw, len(raw), 1, "sqlite")


def children() -> set[int]:
    """The parsers that this process has started and that still run."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if int(parent) == os.getpid() and b"mailbox.parsing.parser" in command:
                found.add(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


ORDERS = [order(mail(number, body=f"word{number} " * 200)) for number in range(60)]


@pytest.fixture(autouse=True)
def _no_parser_of_another_test() -> Iterator[None]:
    parsing_pool.close()
    yield
    parsing_pool.close()


def test_readings_come_in_order_and_are_those_of_a_worker() -> None:
    with parsing_pool.running():
        pending = parsing_pool.read(ORDERS)
        assert pending.result() == [parse_job.read(each) for each in ORDERS]
        assert children()


def test_one_small_mail_too_is_read_beside_the_worker_and_by_one_parser() -> None:
    with parsing_pool.running():
        (read,) = parsing_pool.read(ORDERS[:1]).result()
        assert len(children()) == 1
    assert read == parse_job.read(ORDERS[0])


def test_the_parsers_outlast_one_batch_and_one_of_them_the_last_that_uses_them() -> None:
    with parsing_pool.running():
        with parsing_pool.running():
            parsing_pool.read(ORDERS).result()
        first = children()
        parsing_pool.read(ORDERS).result()
        assert children() == first != set()
    (kept,) = children()
    assert kept in first
    assert parsing_pool.read_one(ORDERS[0]) == parse_job.read(ORDERS[0])
    assert children() == {kept}
    parsing_pool.close()
    assert children() == set()


def test_a_parser_without_work_ends_by_itself_and_the_next_mail_begins_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parsing_pool, "IDLE_SECONDS", 0.02)
    for each in ORDERS[:2]:
        assert parsing_pool.read_one(each) == parse_job.read(each)
        wait_until(lambda: not children(), seconds=30, what="the end of the parser")


def test_the_cores_that_a_worker_used_are_given_back() -> None:
    with parsing_pool.running():
        parsing_pool.read(ORDERS).result()
    slots = [parsing_pool.take_slot("parser", os.cpu_count() or 1) for _ in range(os.cpu_count() or 1)]
    assert all(slots)
    for each in slots:
        each.close()  # type: ignore[union-attr]


def test_a_forked_process_speaks_with_parsers_of_its_own() -> None:
    assert parsing_pool.read_one(ORDERS[0])
    ours = children()
    if (pid := os.fork()) == 0:
        try:
            read = parsing_pool.read_one(ORDERS[1]) == parse_job.read(ORDERS[1])
            os._exit(0 if read and len(children()) == 1 and children().isdisjoint(ours) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert children() == ours


def test_a_parser_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRX_EMAIL_SECRET_KEY", "not-for-parsers")
    with parsing_pool.running():
        parsing_pool.read(ORDERS).result()
        known = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children()]
    assert known
    assert not any(b"PRX_EMAIL" in each or b"DATABASE" in each for each in known)


def test_a_parser_killed_in_the_middle_loses_no_mail() -> None:
    orders = ORDERS * 20
    with parsing_pool.running():
        parsing_pool.read(ORDERS).result()
        pending = parsing_pool.read(orders)
        killed = children()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        results = pending.result()
        assert killed and children().isdisjoint(killed)
    assert results == [parse_job.read(each) for each in ORDERS] * 20


def test_a_mail_that_takes_too_long_is_given_up_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here too long is a tenth of a second; honest small mails take a fraction of a millisecond."""
    monkeypatch.setattr(parsing_process, "CPU_SECONDS", 0.1)
    long = replace(order(b"Message-ID: <long@x>\r\n\r\n"), reader="tests.mailbox.parsing.endless_reader:read")
    with parsing_pool.running():
        results = parsing_pool.read([*ORDERS[:30], long, *ORDERS[30:]]).result()
    assert results.pop(30) == parser.GAVE_UP
    assert results == [parse_job.read(each) for each in ORDERS]


def test_a_mail_that_takes_too_much_memory_is_given_up_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing_process, "SPACE_BYTES", -14 * 30 * parser.MB)
    long = order(b"Message-ID: <long@x>\r\n\r\n" + b"word word\r\n" * (3 * parser.MB))
    with parsing_pool.running():
        results = parsing_pool.read([*ORDERS[:30], long, *ORDERS[30:]]).result()
    assert results.pop(30) == parser.GAVE_UP
    assert results == [parse_job.read(each) for each in ORDERS]


def test_a_parser_that_cannot_start_is_our_trouble_and_no_mails(
    make_account: Callable[..., Account], dovecot: Dovecot, settings: Any
) -> None:
    account = make_account()
    fill(dovecot, account, 25)
    settings.BASE_DIR = Path("/nowhere")
    outcome = sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "storage")
    assert "parser" in outcome.error
    settings.BASE_DIR = ROOT
    assert sync(account.pk).ok
    assert not Quarantine.objects.exists()
    assert stored(account) == on_server(dovecot, account)


@pytest.mark.django_db
def test_a_mail_its_parser_dies_of_is_put_aside_in_words(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 25)
    body = "".join(f"\u00e9t\u00e9{number} " for number in range(600_000))  # of 200,000 Python 3.13 takes just 0.02 s
    dovecot.append(account.email, "INBOX", mail(26, body=body))
    with monkeypatch.context() as patch:
        patch.setattr(parsing_process, "CPU_SECONDS", 0.02)
        outcome = sync(account.pk)
    assert (outcome.ok, outcome.fetched, outcome.quarantined) == (True, 25, 1)
    aside = Quarantine.objects.get()
    assert (aside.uid, parser.GAVE_UP in aside.error) == (26, True)
    assert (aside.subject, aside.sender) == ("Mail 26", "Ann <ann@example.com>"), "its header can be read all the same"
    assert Message.objects.count() == 25


WORKER = """
import django, os, signal, sys
django.setup()
from mailbox.parsing import pool as parsers
from tests.mailbox.parsing.test_parser_processes import ORDERS, children
with parsers.running():
    parsers.read(ORDERS).result()
    pending = parsers.read(ORDERS * 50)
    print(*children(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.django_db
@pytest.mark.long
def test_the_parsers_die_with_a_worker_that_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [int(pid) for pid in done.stdout.split()]
    assert left
    wait_until(lambda: not any(map(is_alive, left)), seconds=10, what="the end of the parsers")
