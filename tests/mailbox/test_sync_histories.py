"""Random histories of a mailbox, with crashes and drops at any command: in the end we have what the server has."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from mailbox import sync
from mailbox.errors import NetworkError
from mailbox.imap import Known
from mailbox.imap_fetch import FetchedMessage, FolderStatus, Marks, MessageMeta
from mailbox.models import Account, Lease, Message, MessagePlace, SyncState
from mailbox.rawstore import digest_of
from mailbox.session import Mailbox
from mailbox.store import header_of
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mailbox.test_sync import mail
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db


class Crash(BaseException):
    """The worker is killed: nothing catches it."""


@dataclass
class FakeServer:
    """A mailbox in memory; as a session it breaks when `breaks_in` commands have been given."""

    uidvalidity: int = 1
    uidnext: int = 1
    modseq: int = 1
    states_modseq: bool = True
    mails: dict[int, tuple[bytes, bool, int]] = field(default_factory=dict)  # raw, seen, mod-sequence
    breaks_in: int = -1
    error: type[BaseException] = Crash

    def append(self, number: int) -> None:
        self.modseq += 1
        self.mails[self.uidnext] = (mail(number), False, self.modseq)
        self.uidnext += 1

    def change(self, what: str, which: int) -> None:
        """The next thing another client, or the administrator of the server, does."""
        self.modseq += 1
        uids = sorted(self.mails)
        if what == "append":
            self.append(which)
        elif what == "renumber":
            kept = [self.mails[uid][0] for uid in uids]
            self.uidvalidity, self.uidnext, self.mails = self.uidvalidity + 1, 1 + which, {}
            for raw in kept:
                self.mails[self.uidnext] = (raw, False, self.modseq)
                self.uidnext += 1
        elif uids and what == "expunge":
            del self.mails[uids[which % len(uids)]]
        elif uids and what == "flag":
            uid = uids[which % len(uids)]
            self.mails[uid] = (self.mails[uid][0], not self.mails[uid][1], self.modseq)

    def _command(self) -> None:
        self.breaks_in -= 1
        if self.breaks_in == 0:
            raise self.error("lost")

    def examine(self, folder: str, known: Known | None = None) -> FolderStatus:
        self._command()
        return FolderStatus(
            self.uidvalidity, self.uidnext, len(self.mails), self.modseq if self.states_modseq else None
        )

    def search_uids(self, low: int, high: int) -> list[int]:
        self._command()
        return sorted(uid for uid in self.mails if low <= uid <= high)

    def fetch_meta(self, uids: Sequence[int]) -> list[MessageMeta]:
        self._command()
        when = datetime(2024, 3, 1, tzinfo=UTC)
        return [
            MessageMeta(uid, ("\\Seen",) if self.mails[uid][1] else (), when, len(self.mails[uid][0]))
            for uid in uids
            if uid in self.mails
        ]

    def fetch_range(self, low: int, high: int) -> dict[int, MessageMeta | None]:
        return {meta.uid: meta for meta in self.fetch_meta(sorted(self.mails)) if low <= meta.uid <= high}

    def fetch_marks(self, uids: Sequence[int]) -> dict[int, Marks]:
        return {meta.uid: meta.marks for meta in self.fetch_meta(uids)}

    def fetch_changed_marks(self, low: int, high: int, since: int) -> dict[int, Marks]:
        changed = [uid for uid, (_, _, modseq) in self.mails.items() if low <= uid <= high and modseq > since]
        return self.fetch_marks(changed)

    def fetch_header_digests(self, uids: Sequence[int]) -> dict[int, tuple[Marks, str]]:
        found = self.fetch_marks(uids)
        return {uid: (marks, digest_of(header_of(self.mails[uid][0]))) for uid, marks in found.items()}

    def fetch_messages(self, metas: Sequence[MessageMeta]) -> Iterator[FetchedMessage]:
        self._command()
        for meta in metas:
            if meta.uid in self.mails:
                yield FetchedMessage(meta, self.mails[meta.uid][0], is_complete=True)


def run(account: Account, server: FakeServer, max_messages: int) -> sync.SyncOutcome:
    Lease.objects.filter(account=account).delete()  # a crashed worker's has lapsed
    token = Lease.acquire(account.pk, Lease.Purpose.SYNC, "test", seconds=60, now=timezone.now())
    mailbox: Any = Mailbox(account, server, token or "", timezone.now)  # type: ignore[arg-type]
    return sync.sync_folder(mailbox, "INBOX", None, max_messages)


def nothing_is_skipped(account: Account, server: FakeServer) -> bool:
    """Every mail of the server between the cursors is stored: a cursor never moves over a gap."""
    state = SyncState.objects.filter(account=account, uidvalidity=server.uidvalidity).first()
    if state is None or state.backfill_cursor is None:
        return True
    rows = MessagePlace.objects.filter(folder__account=account, uidvalidity=server.uidvalidity)
    stored = set(rows.values_list("uid", flat=True))
    return {uid for uid in server.mails if state.backfill_cursor <= uid <= state.cursor} <= stored


CHANGES = st.tuples(st.sampled_from(["append", "append", "expunge", "flag", "renumber"]), st.integers(0, 5))
RUNS = st.tuples(
    st.lists(CHANGES, max_size=4), st.integers(1, 5), st.integers(-1, 9), st.sampled_from([Crash, NetworkError])
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 8), history=st.lists(RUNS, max_size=6), states_modseq=st.booleans())
def test_whatever_happens_the_end_is_what_the_server_has(
    make_account: Callable[..., Account],
    first: int,
    history: list[tuple[list[tuple[str, int]], int, int, type[BaseException]]],
    states_modseq: bool,
) -> None:
    account, server = make_account(**NOWHERE), FakeServer(states_modseq=states_modseq)
    for number in range(first):
        server.append(number)
    for changes, max_messages, breaks_in, error in history:
        for what, which in changes:
            server.change(what, which)
        server.breaks_in, server.error = breaks_in, error
        with suppress(Crash):
            run(account, server, max_messages)
        assert nothing_is_skipped(account, server)
    server.breaks_in = -1
    while (outcome := run(account, server, 3)).more_waiting:
        assert outcome.ok
    outcome = run(account, server, 3)
    assert (outcome.ok, outcome.fetched, outcome.quarantined) == (True, 0, 0)
    rows = MessagePlace.objects.present().filter(folder__account=account)
    expected = {(uid, digest_of(raw), seen) for uid, (raw, seen, _) in server.mails.items()}
    assert set(rows.values_list("uid", "raw_digest", "seen")) == expected
    visible = set(Message.objects.visible().filter(account=account).values_list("raw_digest", flat=True))
    assert visible == {digest for _, digest, _ in expected}
