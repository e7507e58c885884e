"""`make bench-sync`: fetching mail beside isync's mbsync and bare imaplib, on one Dovecot over TLS."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from benchmarks import mails
from benchmarks.frame import RESULTS_FOLDER, Figure, Options, Pair, Void, alternate, spread
from benchmarks.mbsync import Mbsync
from benchmarks.notmuch import MbsyncThenNotmuch
from benchmarks.servers import Place, fill, places, running_dovecot
from benchmarks.site import Site, Sites, account_fields, open_sites
from tests.servers.dovecot import Dovecot

MESSAGES = 10_000
FEWER = 3_000


class Context:
    """The servers and mailboxes that the benches of one run share, made when first asked for."""

    def __init__(self, options: Options, stack: ExitStack) -> None:
        self.options, self.stack = options, stack
        RESULTS_FOLDER.mkdir(parents=True, exist_ok=True)
        # Below the project: our files and mbsync's on one filesystem.
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=RESULTS_FOLDER)))
        self._mailboxes: dict[tuple[str, int], set[Place]] = {}
        self._peers = 0

    @cached_property
    def server(self) -> Dovecot:
        """The IMAP server, which both sides fetch from."""
        return self.stack.enter_context(running_dovecot())

    @cached_property
    def sites(self) -> Sites:
        """Installations of ours."""
        return open_sites(self.options, self.folder, self.stack)

    def mailbox(self, user: str, count: int) -> set[Place]:
        """A mailbox with so many mails, filled at the first call."""
        if (user, count) not in self._mailboxes:
            fill(self.server, user, mails.mails(count, seed=user))
            self._mailboxes[user, count] = places(self.server, user)
            if len(self._mailboxes[user, count]) != count:
                raise Void(f"Dovecot has {len(self._mailboxes[user, count])} of {count} mails")
        return self._mailboxes[user, count]

    def mbsync(self, user: str, port: int | None = None) -> Mbsync:
        """mbsync for this user, with an empty Maildir. `port`: by another port than the server's own."""
        self._peers += 1
        server = self.server
        folder = self.folder / f"mbsync-{self._peers}"
        return Mbsync(folder, server.ca_pem, port or server.imap_port, user, server.password)


def marks(count: int) -> list[str]:
    """A word of each of four mails, first and last among them."""
    return [mails.mark(number) for number in sorted({0, count // 3, count // 2, count - 1})]


def check(site: Site, user: str, wanted: set[Place], copies: int = 1) -> None:
    """All of it, byte by byte, and searchable, or the figure is void. `copies`: mailboxes with such mails."""
    with site.inside() as inside:
        stored = {(folder, uid, digest) for folder, uid, digest in inside.call("places", email=user)}
        if stored != wanted:
            raise Void(f"{len(wanted - stored)} messages are missing and {len(stored - wanted)} are not the server's")
        count = len(wanted)
        words = marks(count)
        if (found := inside.call("found", words=words)) != [copies] * len(words):
            raise Void(f"a search for words of {words} finds {found} messages")


# --- First sync -------------------------------------------------------------------------------------------------
def first_by_command(
    context: Context, user: str, wanted: set[Place], port: int | None = None, environment: Mapping[str, str] = {}
) -> float:
    """Seconds of the first sync by `manage.py sync`, the start of Python included. Raises Void if a message is
    missing."""
    site = context.sites.make(**environment)
    with site.inside() as inside:
        inside.call("make_account", **account_fields(context.server, user, port))
    seconds = site.manage("sync", "--all")
    check(site, user, wanted)
    site.remove()
    return seconds


def first_by_mbsync(context: Context, user: str, wanted: set[Place], port: int | None = None) -> float:
    """Seconds of the first sync by mbsync. Raises Void if a message is missing."""
    peer = context.mbsync(user, port)
    seconds = peer.run()
    peer.check(wanted)
    return seconds


def first(context: Context, figure: Figure, mbsync_alone: Figure) -> None:
    """The first sync of a mailbox, beside mbsync with notmuch and beside mbsync alone."""
    count, user = context.options.amount(MESSAGES), "first@example.test"
    pair, alone = _beside_pipeline(context, user, count)
    figure.notes = f"{count / pair.our_median:,.0f} messages/s; ours {spread(pair.ours)}, they {spread(pair.peer)}"
    pair.fill(figure)
    mbsync_alone.notes = f"its part of the same runs: {spread(alone.peer)}"
    alone.fill(mbsync_alone)


def fewer(context: Context, figure: Figure) -> None:
    """The same with fewer messages."""
    count, user = context.options.amount(FEWER), "fewer@example.test"
    pair, _alone = _beside_pipeline(context, user, count)
    figure.notes = f"ours {spread(pair.ours)}, they {spread(pair.peer)}"
    pair.fill(figure)


def _beside_pipeline(context: Context, user: str, count: int) -> tuple[Pair, Pair]:
    """Ours against mbsync and then notmuch; and against the seconds that mbsync took of it."""
    wanted = context.mailbox(user, count)
    mbsync_seconds: list[float] = []

    def pipeline() -> float:
        mbsync = context.mbsync(user)
        peer = MbsyncThenNotmuch(mbsync)
        seconds = peer.run()
        peer.check(count, marks(count))
        mbsync.check(wanted)
        mbsync_seconds.append(peer.mbsync_seconds)
        return seconds

    pair = alternate(context.options.rounds(3), lambda: first_by_command(context, user, wanted), pipeline)
    return pair, Pair(pair.ours, mbsync_seconds)
