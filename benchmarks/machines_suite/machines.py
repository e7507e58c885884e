"""`make bench-machines`: an object store beside files, and two hosts beside one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.frame import Figure, Void, alternate, spread
from benchmarks.machines_suite import servers
from benchmarks.outbox_suite.outbox import ONLY_SENDS
from benchmarks.outbox_suite.outbox_peers import wanted
from benchmarks.servers import Place
from benchmarks.site import Inside, Site, account_fields
from benchmarks.sync import Context, check, first_by_command
from tests.servers import MAILBOX_PASSWORD

OF_S3 = 3_000
MAILBOXES, MAILS_OF_EACH = 20, 250
SENDERS, SENT = 40, 2_000
LONGEST_SECONDS = 600.0
HOST_CORES = 0.4  # of the two of this machine: PostgreSQL, Dovecot and the relay must not be what two hosts wait for


# --- An object store --------------------------------------------------------------------------------------------
def s3(context: Context, figure: Figure) -> None:
    """The first sync of a mailbox with raw messages on S3, beside the same with files."""
    count, user = context.options.amount(OF_S3), "s3@example.test"
    mailbox = context.mailbox(user, count)
    stored = context.stack.enter_context(servers.s3(context.folder))
    pair = alternate(
        context.options.rounds(3),
        lambda: first_by_command(context, user, mailbox, environment=stored),
        lambda: first_by_command(context, user, mailbox),
    )
    figure.notes = f"ours {spread(pair.ours)}, files {spread(pair.peer)}"
    pair.fill(figure)


# --- Two hosts --------------------------------------------------------------------------------------------------
def two_hosts_first(context: Context, figure: Figure) -> None:
    """The first sync of many mailboxes by two hosts, beside the same by one."""
    count = context.options.amount(MAILS_OF_EACH, 5)
    users = [f"hosts{number}@example.test" for number in range(context.options.amount(MAILBOXES, 4))]
    mailboxes = {user: context.mailbox(user, count) for user in users}
    _by_two_and_by_one(context, figure, lambda hosts: _first_sync(context, mailboxes, hosts))


def _first_sync(context: Context, mailboxes: dict[str, set[Place]], hosts: int) -> float:
    with ExitStack() as stack:
        first, inside = _installation(context, stack)
        inside.call("only_our_ticks")
        _start(stack, first, hosts)
        ids = [inside.call("make_account", **account_fields(context.server, user)) for user in mailboxes]
        counts = {str(pk): len(places) for pk, places in zip(ids, mailboxes.values(), strict=True)}
        seconds: float = inside.call("click_and_wait", wanted=counts, seconds=LONGEST_SECONDS)
        for user, places in mailboxes.items():
            check(first, user, places, copies=len(mailboxes))
    return seconds


def two_hosts_send(context: Context, figure: Figure) -> None:
    """Mail of many accounts to a slow relay by two hosts, beside the same by one."""
    relay = context.stack.enter_context(servers.slow_relay(context.folder))
    _by_two_and_by_one(context, figure, lambda hosts: _send_all(context, relay, hosts))


def _send_all(context: Context, relay: servers.SlowRelay, hosts: int) -> float:
    with ExitStack() as stack:
        first, inside = _installation(context, stack)
        fields = {"imap_port": 1, "smtp_port": relay.port, "password": MAILBOX_PASSWORD, "ca_pem": relay.ca_pem}
        ids = [
            inside.call("make_account", email=f"sender{number}@example.test", **fields, **ONLY_SENDS)
            for number in range(context.options.amount(SENDERS, 4))
        ]
        given = wanted(f"by-{hosts}", context.options.amount(SENT, 20), "sender0@example.test")
        inside.call("queue_rows", account_ids=ids, mails=given.mails, text=given.text)
        _start(stack, first, hosts)
        start = relay.size()
        begin: float = inside.call("make_due")
        seconds = relay.wait_for(len(given.mails), start, LONGEST_SECONDS) - begin
        relay.check([subject for _, subject in given.mails], start)
        if (found := inside.call("wait_until_settled")).keys() != {"sent"}:
            raise Void(f"not all rows are sent: {found}")
    return seconds


def _by_two_and_by_one(context: Context, figure: Figure, seconds_of: Callable[[int], float]) -> None:
    """`seconds_of` so many hosts. The figure is how many times as fast two are."""
    if not context.sites.server:
        raise Void("hosts share no SQLite: BENCH_DATABASE=postgres")
    pair = alternate(context.options.rounds(3), lambda: seconds_of(2), lambda: seconds_of(1))
    figure.ours, figure.peer = pair.our_median, pair.peer_median
    figure.value = figure.peer / figure.ours
    figure.samples = {"ours": pair.ours, "peer": pair.peer}
    figure.notes = f"two {spread(pair.ours)}, one {spread(pair.peer)}"


def _installation(context: Context, stack: ExitStack) -> tuple[Site, Inside]:
    """With a raw store that its hosts share."""
    first = context.sites.make(PRX_EMAIL_RAW_DIR=str(context.folder / f"raw-{len(list(context.folder.iterdir()))}"))
    stack.callback(first.remove)
    return first, stack.enter_context(first.inside())


def _start(stack: ExitStack, first: Site, hosts: int) -> None:
    """The workers of each host, each with HOST_CORES, as if it were a machine; the servers have the rest."""
    for number in range(hosts):
        site = first.other_host() if number else first
        with site.inside() as inside:
            inside.call("join_as_host")
        stack.enter_context(site.workers(HOST_CORES))
