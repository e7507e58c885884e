"""The rows of `make bench-sync` after the first: round trips, four mailboxes, one new mail, memory."""

from __future__ import annotations

import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks import bare, mails
from benchmarks.frame import Figure, Void, alternate, spread
from benchmarks.memory import Watch
from benchmarks.notmuch import MbsyncThenNotmuch
from benchmarks.proxy import delayed
from benchmarks.servers import Place, fill, places
from benchmarks.site import Inside, account_fields
from benchmarks.sync import MESSAGES, Context, check, first_by_command, first_by_mbsync, marks
from benchmarks.sync_plain import seconds_of
from tests.servers.dovecot import Dovecot

ONE_WAY_MILLISECONDS = 20
LOOP_MESSAGES = 300  # measured of the loop; the rest is that many times as long
FOUR = 4
LONGEST_SECONDS = 600
LARGE, SMALL = 100_000, 1_000
BIG_MAIL = 50_000_000


# --- Through a round trip of 40 ms ------------------------------------------------------------------------------
def rtt(context: Context, by_peer: Figure, by_loop: Figure) -> None:
    """The first sync through a slow line, beside mbsync and beside one FETCH a message."""
    count, user = context.options.amount(MESSAGES), "first@example.test"
    wanted = context.mailbox(user, count)
    with delayed(context.server.imap_port, ONE_WAY_MILLISECONDS) as port:
        pair = alternate(
            context.options.rounds(2),
            lambda: first_by_command(context, user, wanted, port),
            lambda: first_by_mbsync(context, user, wanted, port),
        )
        measured = min(LOOP_MESSAGES, count)
        loop = seconds_of(context.server, port=port, user=user, count=measured)
    by_peer.notes = f"ours {spread(pair.ours)}, mbsync {spread(pair.peer)}"
    pair.fill(by_peer)
    by_loop.ours, by_loop.peer = pair.our_median, loop / measured * count
    by_loop.value = by_loop.peer / by_loop.ours
    by_loop.notes = f"the loop took {loop:.1f} s for {measured} messages and would take {by_loop.peer:.0f} s for all"


# --- Four mailboxes at once -------------------------------------------------------------------------------------
def four(context: Context, figure: Figure) -> None:
    """Four mailboxes at once, beside four times mbsync and notmuch."""
    count = context.options.amount(MESSAGES // FOUR)
    users = [f"four{number}@example.test" for number in range(FOUR)]
    wanted = {user: context.mailbox(user, count) for user in users}
    pair = alternate(
        context.options.rounds(3),
        lambda: _four_by_workers(context, wanted),
        lambda: _four_by_pipelines(context, wanted),
    )
    figure.notes = f"ours {spread(pair.ours)}, they {spread(pair.peer)}"
    pair.fill(figure)


def _four_by_workers(context: Context, wanted: dict[str, set[Place]]) -> float:
    site = context.sites.make()
    with site.inside() as inside:
        ids = [inside.call("make_account", **account_fields(context.server, user)) for user in wanted]
        with site.workers():
            counts = {str(pk): len(found) for pk, found in zip(ids, wanted.values(), strict=True)}
            seconds: float = inside.call("click_and_wait", wanted=counts, seconds=LONGEST_SECONDS)
    for user, found in wanted.items():
        check(site, user, found, copies=FOUR)
    site.remove()
    return seconds


def _four_by_pipelines(context: Context, wanted: dict[str, set[Place]]) -> float:
    """mbsync and then notmuch for each mailbox, all four side by side."""
    peers = {user: context.mbsync(user) for user in wanted}
    pipelines = {user: MbsyncThenNotmuch(mbsync) for user, mbsync in peers.items()}
    with ThreadPoolExecutor(FOUR) as threads:
        begin = time.monotonic()
        list(threads.map(MbsyncThenNotmuch.run, pipelines.values()))
        seconds = time.monotonic() - begin
    for user, places_of in wanted.items():
        pipelines[user].check(len(places_of), marks(len(places_of)))
        peers[user].check(places_of)
    return seconds


# --- One new message --------------------------------------------------------------------------------------------
def new(context: Context, figure: Figure, trips: Figure) -> None:
    """Two installations, so that the small one's tables are small too. They take turns."""
    server, rounds = context.server, context.options.rounds(15)
    insides: dict[str, tuple[Inside, int]] = {}
    amounts = {"large": context.options.amount(LARGE, 20), "small": context.options.amount(SMALL, 10)}
    for name, amount in amounts.items():
        user = f"{name}@example.test"
        fill(server, user, ((mails.small_mail(number), mails.received_at(number)) for number in range(amount)))
        inside = context.stack.enter_context(context.sites.make().inside())
        pk = inside.call("make_account", **account_fields(server, user))
        inside.call("sync_all", account_id=pk)
        if (stored := inside.call("stored_count", account_id=pk)) != amount:
            raise Void(f"{stored} of {amount} messages are stored")
        _open_once(server, user)
        insides[name] = inside, pk

    def add(name: str) -> None:
        number = amounts[name]
        amounts[name] += 1
        fill(server, f"{name}@example.test", [(mails.small_mail(number), mails.received_at(number))])

    def sync(name: str) -> float:
        inside, pk = insides[name]
        seconds: float = inside.call("sync_once", account_id=pk)
        if (stored := inside.call("stored_count", account_id=pk)) != amounts[name]:
            raise Void(f"{stored} of {amounts[name]} messages are stored after one came")
        return seconds

    def one_new(name: str) -> float:
        add(name)
        return sync(name)

    one_new("large"), one_new("small")  # the first of a process opens and imports
    pair = alternate(rounds, lambda: one_new("large"), lambda: one_new("small"), pause=0.1)
    add("large")
    with counted(server) as log:
        sync("large")
    trips.value, verbs = round_trips(log)
    trips.ours, trips.unit, trips.notes = trips.value, "", f"the commands: {verbs}"
    alone = {name: _server_alone(server, name, add, rounds) for name in amounts}
    figure.notes = f"{amounts['large']:,} and {amounts['small']:,} messages; medians of {rounds}; {_told(alone)}"
    pair.fill(figure)


def _open_once(server: Dovecot, user: str) -> None:
    """As the person's own client does. A folder that nobody ever opened has all of its messages \\Recent, which Dovecot
    lists anew for each session (5 ms for 100,000); a person's folder has few."""
    with server.login(user) as imap:
        imap.select("INBOX")


def _server_alone(server: Dovecot, name: str, add: Callable[[str], None], rounds: int) -> tuple[float, float]:
    """Medians of EXAMINE and of the FETCHes, in milliseconds, for a client that does nothing else."""
    taken, user = [], f"{name}@example.test"
    for _ in range(rounds):
        before = bare.stand_of(server, user)
        add(name)
        taken.append(bare.seconds_of_one_new(server, user, before))
    examine, fetch = (1000 * statistics.median(column) for column in zip(*taken, strict=True))
    return examine, fetch


def _told(alone: dict[str, tuple[float, float]]) -> str:
    large, small = alone["large"], alone["small"]
    return (
        f"Dovecot alone takes {large[0]:.1f} and {small[0]:.1f} ms for EXAMINE, {large[1]:.1f} and {small[1]:.1f} ms "
        "for the FETCHes"
    )


@contextmanager
def counted(server: Dovecot) -> Iterator[Path]:
    """A folder into which Dovecot writes what is said after each sign-in, for as long as it is there."""
    folder = server.folder / "rawlog"
    folder.mkdir()
    if server.users.is_root:
        shutil.chown(folder, server.users.mail, server.users.mail_group)
    try:
        yield folder
    finally:
        folder.rename(server.folder / f"rawlog-{time.monotonic_ns()}")


def round_trips(log: Path) -> tuple[int, str]:
    """How often the client, having all answers, said something and waited; and the commands, in their order.

    Each line of Dovecot's logs begins with the time at which its bytes came or went.
    """
    folder = log if log.exists() else max(log.parent.glob("rawlog-*"))
    lines: list[tuple[float, bool, str]] = []
    for path in folder.iterdir():
        if path.suffix not in (".in", ".out"):
            continue
        for line in path.read_bytes().decode(errors="replace").splitlines():
            if match := re.match(r"(\d+\.\d+) (.*)", line):
                lines.append((float(match[1]), path.suffix == ".in", match[2]))
    if not lines:
        raise Void("Dovecot logged nothing of the sync")
    trips, was_client, verbs = 0, False, []
    for _, is_client, text in sorted(lines, key=lambda line: line[0]):
        trips += is_client and not was_client
        was_client = is_client
        if is_client:
            words = text.split()
            verbs.append(" ".join(words[1:3]) if words[1:2] == ["UID"] else " ".join(words[1:2]))
    return trips, ", ".join(verbs)


# --- Memory -----------------------------------------------------------------------------------------------------
def memory(context: Context, figure: Figure, level: Figure) -> None:
    """The memory of the workers in megabytes during a first sync, and whether it grows."""
    count, user = context.options.amount(MESSAGES), "memory@example.test"
    fill(context.server, user, mails.mails(count, seed=user))
    # Near the end, which is fetched first: what it leaves behind would show in the rest of the series.
    fill(context.server, user, [(mails.big_mail(count, context.options.amount(BIG_MAIL)), mails.received_at(count))])
    fill(context.server, user, mails.mails(count // 10, seed=user, first=count + 1))
    wanted = places(context.server, user)
    site = context.sites.make()
    with site.inside() as inside, site.workers() as workers:
        pk = inside.call("make_account", **account_fields(context.server, user))
        watch = Watch(workers.pid)
        inside.call("click_and_wait", wanted={str(pk): len(wanted)}, seconds=LONGEST_SECONDS)
        found = watch.stop()
    check(site, user, wanted)
    figure.value = figure.ours = max(found.series)
    quarter = max(len(found.series) // 4, 1)
    parts = [statistics.median(found.series[start : start + quarter]) for start in range(0, 4 * quarter, quarter)]
    figure.notes = f"largest VmHWM of one process {max(found.peaks.values()):.0f} MB"
    level.value, level.ours, level.peer = parts[3] / parts[1], parts[3], parts[1]
    level.notes = f"medians of the quarters of the run: {spread(parts, 0)} MB"
