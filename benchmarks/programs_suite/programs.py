"""`make bench-programs`: mail handed over by 20 sessions at once, by SMTP and by HTTP, and then at the sink."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property

from benchmarks.frame import Figure, Options, Pair, Void, alternate, spread
from benchmarks.outbox_suite import outbox
from benchmarks.outbox_suite import outbox_peers as peers
from benchmarks.outbox_suite.outbox import ONLY_SENDS, SLOWEST, settled
from benchmarks.outbox_suite.outbox_peers import Wanted
from benchmarks.programs_suite.clients import SESSIONS, Door, Sender, hand_over
from benchmarks.programs_suite.postfix import Postfix, running_postfix
from benchmarks.site import Inside, Service, Site, account_fields
from prx_email_site.launch import PROCESSES, BindAddress, commands
from tests.servers.ports import answers, free_ports, wait_until

MAILS = int(os.environ.get("BENCH_MAILS") or 1_000)  # of all sessions together
RATE = 200  # requests a second, one mail each
START_SECONDS = 60


class Context(outbox.Context):
    """One installation that takes mail by both doors, and the peer. Nobody delivers while mail is handed over."""

    def __init__(self, options: Options, stack: ExitStack) -> None:
        super().__init__(options, stack)
        self._smtp, self._http = free_ports(2)

    def count(self) -> int:
        """How many mails a run hands over, one a session at least."""
        return self.options.amount(MAILS, SESSIONS)

    @cached_property
    def postfix(self) -> Postfix:
        """The peer, which hands on to the same sink."""
        return self.stack.enter_context(running_postfix(self.server, self.sink.port))

    @cached_property
    def site(self) -> Site:
        """The installation, with SMTP submission."""
        certificates = self.server.certificates
        return self.sites.make(
            PRX_EMAIL_SUBMISSION_BIND=f"127.0.0.1:{self._smtp}",
            PRX_EMAIL_SUBMISSION_CERTIFICATE=str(certificates.certificate),
            PRX_EMAIL_SUBMISSION_KEY=str(certificates.key),
        )

    @cached_property
    def inside(self) -> Inside:
        """A process in it."""
        return self.stack.enter_context(self.site.inside())

    @cached_property
    def senders(self) -> list[Sender]:
        """An account a session: each is delivered by one sender at a time."""
        emails = [f"a{number}@example.test" for number in range(SESSIONS)]
        fields = {name: value for name, value in account_fields(self.server, "").items() if name != "email"}
        ids = self.inside.call("make_accounts", emails=emails, **ONLY_SENDS, **fields)
        return [Sender(email, pk) for email, pk in zip(emails, ids, strict=True)]

    @cached_property
    def secret(self) -> str:
        """A token for the programs."""
        return str(self.inside.call("make_token"))

    @cached_property
    def submission(self) -> Door:
        """Submission in as many processes as `make run` starts."""
        command = [commands(BindAddress("127.0.0.1", self._http))[0].command[0], "manage.py", "submission"]
        services = [self._serve(command, f"submission-{number}", self._smtp) for number in range(PROCESSES)]
        wait_until(
            lambda: all("Taking mail" in each.log() for each in services), seconds=START_SECONDS, what="all processes"
        )
        return Door("smtp", self._smtp, self.secret, self.server.ca_pem)

    @cached_property
    def api(self) -> Door:
        """The web server as `make run` starts it."""
        self._serve(list(commands(BindAddress("127.0.0.1", self._http))[0].command), "web", self._http)
        return Door("http", self._http, self.secret)

    def _serve(self, command: list[str], name: str, port: int) -> Service:
        service = self.stack.enter_context(self.site.service(command, name))
        wait_until(lambda: answers(port), seconds=START_SECONDS, what=f"{name}: {service.log()}")
        return service

    def handed(self, door: Door, taken: list[Wanted]) -> float:
        """Hand over the mails of a run; returns mails per second, and adds them to `taken`."""
        given = peers.wanted(self.next_run(), self.count(), "")
        taken.append(given)
        return hand_over(door, self.senders, given)

    def arrive_once(self, taken: list[Wanted], start: int, release: Callable[[], object]) -> None:
        """Let all that was taken go out; void unless each is at the sink exactly once."""
        subjects = [subject for given in taken for _, subject in given.mails]
        release()
        self.sink.wait_for(len(subjects), start, 30 + len(subjects) / SLOWEST)
        self.sink.check(subjects, start)

    def delivered(self, taken: list[Wanted], start: int) -> None:
        """Deliver what was taken. Raises Void unless each mail arrives at the sink once."""
        with self.site.workers():
            self.arrive_once(taken, start, lambda: self.inside.call("make_due"))
            settled(self.inside)


def submission(context: Context, figure: Figure) -> None:
    """Both write each mail down before they say 250, and neither delivers meanwhile: then each does."""
    peer_door = Door("smtp", context.postfix.port, context.server.password, context.server.ca_pem)
    ours, theirs = list[Wanted](), list[Wanted]()
    our_door = context.submission
    pair = alternate(
        context.options.rounds(3), lambda: context.handed(our_door, ours), lambda: context.handed(peer_door, theirs)
    )
    if (held := context.postfix.held()) != (wanted := sum(len(given.mails) for given in theirs)):
        raise Void(f"Postfix holds {held} of {wanted} mails")
    context.arrive_once(theirs, context.sink.size(), context.postfix.release)
    context.delivered(ours, context.sink.size())
    figure.notes = (
        f"{context.count():,} mails a run; ours {spread(pair.ours, 0)}, Postfix {spread(pair.peer, 0)}; "
        f"each of the {wanted:,} that either took was at the sink once"
    )
    pair.fill(figure)


def send(context: Context, rate: Figure, ratio: Figure) -> None:
    """One request a mail, beside what a mail's bytes on disk and one commit take at the least."""
    taken = list[Wanted]()
    door, count = context.api, context.count()
    pair = alternate(
        context.options.rounds(3),
        lambda: context.handed(door, taken),
        lambda: context.inside.call("durable_rate", count=count, size=1300),
    )
    context.delivered(taken, context.sink.size())
    _fill(pair, rate, ratio)
    rate.notes = f"{count:,} mails a run; ours {spread(pair.ours, 0)}; each mail was at the sink once"
    ratio.notes = f"disk and commit alone {spread(pair.peer, 0)}"


def _fill(pair: Pair, rate: Figure, ratio: Figure) -> None:
    pair.fill(ratio)
    rate.value = rate.ours = pair.our_median
    rate.samples = {"ours": pair.ours}
