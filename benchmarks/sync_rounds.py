"""The rows of `make bench-sync` about whole rounds by the workers: nothing new, two hosts, a start."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import mails
from benchmarks.frame import Figure, Void, alternate, spread
from benchmarks.proxy import delayed
from benchmarks.servers import fill
from benchmarks.site import Inside, Site, account_fields
from benchmarks.sync import Context
from benchmarks.sync_plain import seconds_of

ACCOUNTS, MANY = 200, 1_000
THREADS = 4  # as our own PRX_EMAIL_SYNC_MAX_CONCURRENCY
ONE_WAY_MILLISECONDS = 10
LONGEST_SECONDS = 60.0


def quiet_accounts(context: Context, inside: Inside, count: int, port: int | None = None) -> list[str]:
    """Accounts of one mail each, of which a look finds nothing. The workers run."""
    users = [f"quiet{number}@example.test" for number in range(count)]
    for number, user in enumerate(users):
        fill(context.server, user, [(mails.small_mail(number), mails.received_at(number))])
    fields = account_fields(context.server, "", port)
    del fields["email"]
    inside.call("only_our_ticks")
    inside.call("make_accounts", emails=users, **fields)
    for _ in range(3):  # the first stores, the next settle
        inside.call("round_by_workers")
    return users


def tick(context: Context, figure: Figure) -> None:
    """One round over accounts with nothing new, beside imaplib."""
    site = context.sites.make()
    with site.workers(), site.inside() as inside:
        users = quiet_accounts(context, inside, context.options.amount(ACCOUNTS, 5))
        pair = alternate(
            context.options.rounds(5),
            lambda: float(inside.call("round_by_workers")),
            lambda: seconds_of(context.server, users=users, threads=THREADS),
        )
    figure.notes = f"ours {spread(pair.ours)}, imaplib {spread(pair.peer)}"
    pair.fill(figure)


def two_hosts(context: Context, figure: Figure) -> None:
    """How many times as fast two clusters are as one. Each has its own data folder, and thus its own connections."""
    first = context.sites.make()
    if not context.sites.server:
        raise Void("hosts share no SQLite: BENCH_DATABASE=postgres")
    second = first.other_host()
    rounds = context.options.rounds(3)
    with ExitStack() as stack:
        port = stack.enter_context(delayed(context.server.imap_port, ONE_WAY_MILLISECONDS))
        stack.enter_context(first.workers())
        inside = stack.enter_context(first.inside())
        quiet_accounts(context, inside, context.options.amount(MANY, 60), port)
        one = _rounds(inside, rounds)
        with second.workers():
            inside.call("round_by_workers")
            two = _rounds(inside, rounds)
        time.sleep(inside.call("seconds_until_silent"))
        one += _rounds(inside, rounds)
    figure.ours, figure.peer = statistics.median(two), statistics.median(one)
    figure.value = figure.peer / figure.ours
    figure.samples = {"ours": two, "peer": one}
    figure.notes = f"two {spread(two)}, one {spread(one)}"


def _rounds(inside: Inside, count: int) -> list[float]:
    return [float(inside.call("round_by_workers")) for _ in range(count)]


def start(context: Context, figure: Figure) -> None:
    """From the start of Python to the first look at an account that is due."""
    site = context.sites.make()
    with site.workers(), site.inside() as inside:
        quiet_accounts(context, inside, 5)
        inside.call("ticks_again")
    taken = [_seconds_to_first_look(site) for _ in range(context.options.rounds(3))]
    figure.value = figure.ours = statistics.median(taken)
    figure.notes = spread(taken)


def _seconds_to_first_look(site: Site) -> float:
    command: Sequence[str] = [sys.executable, "manage.py", "qcluster"]
    with site.inside() as inside:
        inside.call("account_ids")  # it is up before the clock runs
        begin = time.monotonic()
        with site.service(list(command), "qcluster"):
            inside.call("wait_for_look", seconds=LONGEST_SECONDS)
            return time.monotonic() - begin
