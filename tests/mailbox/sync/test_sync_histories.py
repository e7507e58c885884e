"""Random histories of two folders, with crashes and drops at any command: in the end we have what the server has."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from mailbox.errors import MailError, NetworkError, ProviderError
from mailbox.imap.fetch import Changes, FetchedMessage, FlagsAndLabels, FolderStatus, MessageMeta
from mailbox.imap.session import FolderIdentity, KnownFolder, ListedFolder
from mailbox.leases.held_lease import take_all
from mailbox.models import Account, Folder, Lease, Message, MessagePlace, SyncState
from mailbox.parsing.parse_job import header_of
from mailbox.storage.raw_store import digest_of
from mailbox.sync import folder_sync
from mailbox.sync import uidvalidity as sync_uidvalidity
from mailbox.sync.account_session import AccountSession
from mailbox.sync.folders import discover
from mailbox.sync.outcome import SyncOutcome
from mailbox.sync.prefetch import MessageBudget
from tests.mailbox.sync.synced import mail
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db
WHEN = datetime(2024, 3, 1, tzinfo=UTC)


class Crash(BaseException):
    """The worker is killed: nothing catches it."""


@dataclass
class LoadedState:
    """One mail in a folder. Mails of one number are the same, byte for byte and to the second."""

    number: int
    seen: bool
    modseq: int

    @property
    def raw(self) -> bytes:
        return mail(self.number)


@dataclass
class Box:
    uidvalidity: int
    uidnext: int = 1
    mails: dict[int, LoadedState] = field(default_factory=dict)
    vanished: list[tuple[int, int]] = field(default_factory=list)  # UID, mod-sequence

    def append(self, held: LoadedState) -> None:
        self.mails[self.uidnext] = held
        self.uidnext += 1


@dataclass
class FakeServer:
    """Folders in memory; as a session it breaks when `breaks_in` commands have been given."""

    kind: str = "qresync"  # or "condstore", or "plain"
    has_mailbox_ids: bool = False
    modseq: int = 1
    validity: int = 2
    other: str = "Work"  # the name of the second folder
    boxes: dict[str, Box] = field(default_factory=lambda: {"INBOX": Box(1), "Work": Box(2)})
    opened: str = "INBOX"
    breaks_in: int = -1
    error: type[BaseException] = Crash
    has_gmail_labels: bool = False
    alerts: tuple[str, ...] = ()

    # --- What other clients and the server's administrator do ----------------------------------------------------
    def change(self, what: str, which: int, in_other: bool) -> None:
        self.modseq += 1
        name = self.other if in_other else "INBOX"
        box = self.boxes[name]
        uids = sorted(box.mails)
        uid = uids[which % len(uids)] if uids else 0
        if what == "append":
            box.append(LoadedState(which, False, self.modseq))
        elif what == "renumber":
            self.validity += 1
            self.boxes[name] = again = Box(self.validity, 1 + which)
            for held in box.mails.values():
                again.append(LoadedState(held.number, held.seen, self.modseq))
        elif what == "rename":
            self.boxes[f"Work {self.modseq}"] = self.boxes.pop(self.other)
            self.other = f"Work {self.modseq}"
        elif uids and what == "expunge":
            self._remove(box, uid)
        elif uids and what == "flag":
            box.mails[uid].seen = not box.mails[uid].seen
            box.mails[uid].modseq = self.modseq
        elif uids and what == "move":
            held = self._remove(box, uid)
            self.boxes["INBOX" if in_other else self.other].append(LoadedState(held.number, held.seen, self.modseq))

    def _remove(self, box: Box, uid: int) -> LoadedState:
        box.vanished.append((uid, self.modseq))
        return box.mails.pop(uid)

    # --- A session --------------------------------------------------------------------------------------------------
    def _command(self) -> None:
        self.breaks_in -= 1
        if self.breaks_in == 0:
            raise self.error("lost")

    def close(self, *, politely: bool = True) -> None:
        """A crash ends the connection, as the process that held it would."""

    @property
    def box(self) -> Box:
        return self.boxes[self.opened]

    def list_folders(self) -> list[ListedFolder]:
        self._command()
        return [ListedFolder(name, "/", "", True) for name in self.boxes]

    def identity_of(self, name: str) -> FolderIdentity:
        self._command()
        if name not in self.boxes:
            raise ProviderError("no such folder")
        box = self.boxes[name]
        mailbox_id = ("inbox" if name == "INBOX" else "other") if self.has_mailbox_ids else ""
        return FolderIdentity(box.uidvalidity, box.uidnext, mailbox_id)

    def examine(self, name: str, known: KnownFolder | None = None) -> FolderStatus:
        self._command()
        if name not in self.boxes:
            raise ProviderError("no such folder")
        self.opened = name
        box, changes = self.box, None
        if self.kind == "qresync" and known is not None and known.uidvalidity == box.uidvalidity:
            gone = [uid for uid, modseq in box.vanished if known.low <= uid <= known.high and modseq > known.modseq]
            changes = Changes(self._changed(known.low, known.high, known.modseq), tuple((uid, uid) for uid in gone))
        modseq = None if self.kind == "plain" else self.modseq
        mailbox_id = self.identity_of(name).mailbox_id
        return FolderStatus(box.uidvalidity, box.uidnext, len(box.mails), modseq, mailbox_id, changes)

    def search_uids(self, low: int, high: int) -> list[int]:
        self._command()
        return sorted(uid for uid in self.box.mails if low <= uid <= high)

    def fetch_meta(self, uids: Sequence[int]) -> dict[int, MessageMeta]:
        self._command()
        there = [(uid, self.box.mails[uid]) for uid in uids if uid in self.box.mails]
        return {
            uid: MessageMeta(uid, flags_and_labels_of(held).flags, WHEN + timedelta(minutes=held.number), len(held.raw))
            for uid, held in there
        }

    def fetch_range(self, low: int, high: int) -> dict[int, MessageMeta | None]:
        return dict(self.fetch_meta([uid for uid in sorted(self.box.mails) if low <= uid <= high]))

    def fetch_flags(self, uids: Sequence[int]) -> dict[int, FlagsAndLabels]:
        return {uid: meta.flags_and_labels for uid, meta in self.fetch_meta(uids).items()}

    def _changed(self, low: int, high: int, since: int) -> dict[int, FlagsAndLabels]:
        mails = self.box.mails.items()
        return {uid: flags_and_labels_of(held) for uid, held in mails if low <= uid <= high and held.modseq > since}

    def fetch_changed_flags(self, low: int, high: int, since: int) -> dict[int, FlagsAndLabels]:
        self._command()
        return self._changed(low, high, since)

    def fetch_header_digests(self, uids: Sequence[int]) -> dict[int, tuple[FlagsAndLabels, str]]:
        found = self.fetch_flags(uids)
        return {uid: (marks, digest_of(header_of(self.box.mails[uid].raw))) for uid, marks in found.items()}

    def fetch_messages(self, metas: Sequence[MessageMeta]) -> Iterator[FetchedMessage]:
        self._command()
        for meta in metas:
            if meta.uid in self.box.mails:
                yield FetchedMessage(meta, self.box.mails[meta.uid].raw, is_complete=True)


def flags_and_labels_of(held: LoadedState) -> FlagsAndLabels:
    return FlagsAndLabels(("\\Seen",) if held.seen else ())


def run(account: Account, server: FakeServer, max_messages: int) -> list[SyncOutcome]:
    """One round over the account: what a worker does when its folders are due."""
    Lease.objects.filter(account=account).delete()  # a crashed worker's has lapsed
    (lease,) = take_all([account.pk], Lease.Purpose.SYNC, "test", timezone.now)
    session: Any = AccountSession(account, server, lease)  # type: ignore[arg-type]
    account.refresh_from_db()
    if account.folders_listed_at is None:
        try:
            discover(account, server, timezone.now())  # type: ignore[arg-type]
        except MailError:
            return []
    Folder.objects.filter(account=account).update(sync_enabled=True)
    names = list(Folder.objects.chosen().filter(account=account).values_list("name", flat=True))
    return [folder_sync.sync_folder(session, name, MessageBudget(max_messages)) for name in names]


def nothing_is_skipped(account: Account, server: FakeServer) -> bool:
    """Every mail of the server between the cursors is stored: a cursor never moves over a gap."""
    for state in SyncState.objects.filter(account=account).select_related("folder"):
        box = server.boxes.get(state.folder.name)
        if box is None or state.uidvalidity != box.uidvalidity or state.backfill_cursor is None:
            continue
        rows = MessagePlace.objects.filter(folder=state.folder, uidvalidity=box.uidvalidity)
        within = {uid for uid in box.mails if state.backfill_cursor <= uid <= state.cursor}
        if not within <= set(rows.values_list("uid", flat=True)):
            return False
    return True


WHAT = ["append", "append", "append", "expunge", "flag", "move", "renumber", "rename"]
CHANGES = st.tuples(st.sampled_from(WHAT), st.integers(0, 5), st.booleans())
RUNS = st.tuples(
    st.lists(CHANGES, max_size=4), st.integers(1, 5), st.integers(-1, 14), st.sampled_from([Crash, NetworkError])
)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    first=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=8),
    history=st.lists(RUNS, max_size=6),
    kind=st.sampled_from(["qresync", "condstore", "plain"]),
    has_mailbox_ids=st.booleans(),
)
@example(  # all is expunged before the older half was fetched
    first=[(0, False)],
    history=[([("append", 1, False)], 1, 0, Crash), ([("expunge", 0, False)] * 2, 1, 0, Crash)],
    kind="condstore",
    has_mailbox_ids=False,
)
def test_whatever_happens_the_end_is_what_the_server_has(
    make_account: Callable[..., Account],
    first: list[tuple[int, bool]],
    history: list[tuple[list[tuple[str, int, bool]], int, int, type[BaseException]]],
    kind: str,
    has_mailbox_ids: bool,
) -> None:
    account, server = make_account(**NOWHERE), FakeServer(kind, has_mailbox_ids)
    for number, in_other in first:
        server.change("append", number, in_other)
    for changes, max_messages, breaks_in, error in history:
        for what, which, in_other in changes:
            server.change(what, which, in_other)
        server.breaks_in, server.error = breaks_in, error
        with suppress(Crash):
            run(account, server, max_messages)
        assert nothing_is_skipped(account, server)
    server.breaks_in = -1
    for _ in range(60):
        outcomes = run(account, server, 3)
        if any(outcome.error_code == sync_uidvalidity.FolderStopped.code for outcome in outcomes):
            event("stopped")
            sync_uidvalidity.let_go_on(account.pk)
        elif outcomes and all(outcome.ok and not outcome.more_waiting for outcome in outcomes):
            break
    outcomes = run(account, server, 3)
    assert [(outcome.ok, outcome.fetched, outcome.quarantined) for outcome in outcomes] == [(True, 0, 0)] * 2
    rows = MessagePlace.objects.present().filter(folder__account=account)
    expected = {
        (name, uid, digest_of(held.raw), held.seen)
        for name, box in server.boxes.items()
        for uid, held in box.mails.items()
    }
    assert set(rows.values_list("folder__name", "uid", "raw_digest", "seen")) == expected
    visible = set(Message.objects.visible().filter(account=account).values_list("raw_digest", flat=True))
    assert visible == {digest for _, _, digest, _ in expected}
    assert all(place.raw_digest == place.message.raw_digest for place in rows.select_related("message"))
