"""`make bench-outbox`: sending mail beside bare smtplib and django-post_office, through one submission server."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from benchmarks.frame import RESULTS_FOLDER, Figure, Options, Void, alternate, spread
from benchmarks.outbox_suite import outbox_peers as peers
from benchmarks.outbox_suite.outbox_peers import Server, Wanted
from benchmarks.outbox_suite.sink import Sink
from benchmarks.servers import Server as MailServer
from benchmarks.servers import running_dovecot
from benchmarks.site import Inside, Site, Sites, account_fields, open_sites
from tests.servers.ports import free_ports

MAILS = 1_000
SLOWEST = 40  # mails a second: what is slower than this is void
# No peer puts a copy into the Sent folder, nor do we where the provider does it itself.
ONLY_SENDS = {"sync_enabled": False, "sent_copy": "never"}


class Context:
    """Servers and installations that the benches of one run share, made when first asked for."""

    def __init__(self, options: Options, stack: ExitStack) -> None:
        self.options, self.stack = options, stack
        RESULTS_FOLDER.mkdir(parents=True, exist_ok=True)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=RESULTS_FOLDER)))
        self._numbers = itertools.count()

    @cached_property
    def sink(self) -> Sink:
        """The sink behind the submission server."""
        folder = Path(tempfile.mkdtemp(prefix="prx-bench-sink-"))
        self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        sink = Sink(folder, free_ports(1)[0])
        self.stack.callback(sink.stop)
        return sink

    @cached_property
    def server(self) -> MailServer:
        """The submission server, which both sides send to."""
        return self.stack.enter_context(running_dovecot(self.sink.port))

    @cached_property
    def sites(self) -> Sites:
        """Installations of ours."""
        return open_sites(self.options, self.folder, self.stack)

    def next_run(self) -> str:
        """A name that is in the subject of each mail of a run."""
        return f"run{next(self._numbers)}"

    def site_with(self, accounts: int) -> tuple[Site, Inside, list[int]]:
        """A new installation with so many accounts that send, and a process inside it."""
        site = self.sites.make()
        inside = self.stack.enter_context(site.inside())
        ids = [
            inside.call("make_account", **ONLY_SENDS, **account_fields(self.server, f"a{n}@example.test"))
            for n in range(accounts)
        ]
        return site, inside, ids

    def rate(self, given: Wanted, begin: float, start: int) -> float:
        """Mails a second from `begin` to the sink's last accept; void unless each came exactly once."""
        seconds = self.sink.wait_for(len(given.mails), start, 10 + len(given.mails) / SLOWEST) - begin
        self.sink.check([subject for _, subject in given.mails], start)
        return len(given.mails) / seconds

    def by_smtplib(self, count: int) -> float:
        """Mails per second by smtplib on one connection. Raises Void if one is missing or arrives twice."""
        given, start = peers.wanted(self.next_run(), count, "peer@example.test"), self.sink.size()
        return self.rate(given, peers.by_smtplib(Server.of(self.server, "peer@example.test"), given), start)

    def by_post_office(self, count: int, threads: int) -> float:
        """Mails per second by django-post_office. Raises Void if one is missing or arrives twice."""
        given, start = peers.wanted(run := self.next_run(), count, "peer@example.test"), self.sink.size()
        server = Server.of(self.server, "peer@example.test")
        return self.rate(given, peers.by_post_office(server, given, self.folder / f"post_office-{run}", threads), start)


def settled(inside: Inside) -> None:
    """The rows say what the sink says."""
    if (found := inside.call("wait_until_settled")).keys() != {"sent"}:
        raise Void(f"not all rows are sent: {found}")


# --- One session ------------------------------------------------------------------------------------------------
def session(context: Context, figure: Figure, beside_smtplib: Figure) -> None:
    """One account's mails over one session, beside post_office and beside smtplib."""
    count = context.options.amount(MAILS)
    _, inside, ids = context.site_with(1)

    def ours() -> float:
        given, start = peers.wanted(context.next_run(), count, "a0@example.test"), context.sink.size()
        inside.call("queue_rows", account_ids=ids, mails=given.mails, text=given.text)
        rate = context.rate(given, inside.call("deliver", account_id=ids[0]), start)
        settled(inside)
        return rate

    pair = alternate(context.options.rounds(5), ours, lambda: context.by_post_office(count, threads=1))
    figure.notes = f"ours {spread(pair.ours, 0)}, post_office {spread(pair.peer, 0)}"
    pair.fill(figure)
    pair = alternate(context.options.rounds(5), ours, lambda: context.by_smtplib(count))
    beside_smtplib.notes = f"ours {spread(pair.ours, 0)}, smtplib {spread(pair.peer, 0)}"
    pair.fill(beside_smtplib)


# --- Many accounts by the workers -------------------------------------------------------------------------------
def by_workers(context: Context, inside: Inside, ids: list[int], count: int) -> float:
    """Mails per second by workers that run. Raises Void if one is missing or arrives twice."""
    given, start = peers.wanted(context.next_run(), count, "a0@example.test"), context.sink.size()
    inside.call("queue_rows", account_ids=ids, mails=given.mails, text=given.text)
    rate = context.rate(given, inside.call("make_due"), start)
    settled(inside)
    return rate


def workers(context: Context, figure: Figure) -> None:
    """The mails of five accounts by the workers, beside post_office with five threads."""
    count = context.options.amount(MAILS, 10)
    site, inside, ids = context.site_with(5)
    with site.workers():
        pair = alternate(
            context.options.rounds(5),
            lambda: by_workers(context, inside, ids, count),
            lambda: context.by_post_office(count, threads=5),
        )
    figure.notes = f"ours {spread(pair.ours, 0)}, post_office {spread(pair.peer, 0)}"
    pair.fill(figure)
