"""Compares an account's chosen folders with its server, for some seconds at a time.

One call (`go_on`) uses one connection and holds the lease of the account's sync, so that no sync changes the rows that
are compared. Between two calls a sync can run.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from mailbox.completeness import compare, comparison_times, sample, signature
from mailbox.completeness.compare import FolderLine, StoredRange, StoredUid
from mailbox.errors import MailError, Throttled
from mailbox.imap.responses import is_refusal
from mailbox.imap.session import ImapSession, MessageMeta
from mailbox.leases.held_lease import Clock
from mailbox.messages import places
from mailbox.models import Account, Completeness, Folder, LetGo, MessagePlace, Quarantine, SyncState
from mailbox.sync.account_session import AccountSession, signed_in
from mailbox.sync.flags_and_expunges import COMPARE_EVERY
from mailbox.sync.plan import MAX_UID

PART = 2000  # UIDs compared at once
RETRY_AFTER = timedelta(hours=1)


def go_on(account_id: int, *, clock: Clock = timezone.now, seconds: float = 40.0, wait_seconds: float = 5.0) -> bool:
    """Begin the comparison, or go on with it, for about so many seconds; return whether it is complete.

    Raises a MailError when the server cannot be used, after storing it in the row; Account.DoesNotExist.
    """
    account = Account.objects.with_transports().get(pk=account_id)
    row, _ = Completeness.objects.get_or_create(account=account)
    ends = time.monotonic() + seconds
    try:
        with signed_in(account, clock, wait_seconds=wait_seconds) as session:
            _begin(row, clock())
            is_done = _Walk(session, row, ends).all_folders()
    except MailError as error:
        row.error, row.next_at = str(error)[:1000], clock() + RETRY_AFTER
        row.save(update_fields=["error", "next_at"])
        raise
    if is_done:
        _finish(row, account, clock())
    else:
        Completeness.objects.filter(pk=row.pk).update(next_at=clock(), error="")
    return is_done


def _begin(row: Completeness, now: datetime) -> None:
    """Mark the comparison as under way, so that other workers leave it alone until UNDER_WAY has passed.

    The row is read again first: while this worker waited for the lease, another may have gone on or finished.
    """
    row.refresh_from_db()
    if row.started_at is None:
        row.started_at, row.progress = now, {}
    row.next_at = now + comparison_times.UNDER_WAY
    row.save(update_fields=["started_at", "progress", "next_at"])


def _finish(row: Completeness, account: Account, now: datetime) -> None:
    lines = sorted([*row.progress.values(), *_removed(account)], key=lambda line: str(line["folder"]))
    for line in lines:
        del line["next_uid"], line["unlisted"]
    report = {
        "account": account.email,
        "started_at": row.started_at.isoformat() if row.started_at else None,
        "finished_at": now.isoformat(),
        "folders": lines,
        "differ": sum(line["differ"] for line in lines),
        "not_compared": sum(bool(line["error"]) for line in lines),
        "not_chosen": Folder.objects.filter(account=account, selectable=True, gone_at=None, sync_enabled=False).count(),
    }
    row.document, row.differing = signature.sign(report), report["differ"]
    row.started_at, row.progress, row.error = None, {}, ""
    row.finished_at, row.next_at = now, comparison_times.next_night(now)
    row.save()


def _removed(account: Account) -> list[dict[str, Any]]:
    """A line for each chosen folder that the server no longer has, while its messages are kept here."""
    lines = []
    for folder in Folder.objects.filter(account=account, sync_enabled=True, gone_at__isnull=False):
        if folder.gone_at and (kept := MessagePlace.objects.filter(folder=folder, gone_at=folder.gone_at).count()):
            lines.append(asdict(FolderLine(folder.name, gone_at=folder.gone_at.isoformat(), kept=kept)))
    return lines


@dataclass
class _Walk:
    session: AccountSession
    row: Completeness
    ends: float  # of time.monotonic()

    def all_folders(self) -> bool:
        """Compare the folders that are not done until the time is over; return whether all are done.

        Each part is saved, so that it is not repeated if this process dies.
        """
        chosen = list(Folder.objects.chosen().filter(account=self.session.account).order_by("name"))
        for gone in self.row.progress.keys() - {str(folder.pk) for folder in chosen}:
            del self.row.progress[gone]
        refused: list[tuple[Folder, FolderLine, MailError]] = []
        for folder in chosen:
            line = self._line(folder)
            try:
                for _ in self._parts(folder, line):
                    self._store_line(folder, line)
                    if self._time_is_over() and (not line.is_done or folder != chosen[-1]):
                        return False
            except MailError as error:
                if not is_refusal(error):
                    raise
                refused.append((folder, line, error))
        # The server's trouble with one folder concerns this folder only; with all of them, it is asked again later.
        waits = [trouble for _, _, trouble in refused if isinstance(trouble, Throttled)]
        if waits and len(refused) == len(chosen):
            raise waits[0]
        for folder, line, trouble in refused:
            line.error, line.next_uid, line.at = str(trouble)[:500], 0, self.session.clock().isoformat()
            self._store_line(folder, line)
        return True

    def _time_is_over(self) -> bool:
        return time.monotonic() >= self.ends

    def _line(self, folder: Folder) -> FolderLine:
        known = self.row.progress.get(str(folder.pk))
        return FolderLine(**known) if known else FolderLine(folder.name)

    def _store_line(self, folder: Folder, line: FolderLine) -> None:
        self.row.progress[str(folder.pk)] = asdict(line)
        with transaction.atomic():
            self.session.lease.renew()
            self.row.save(update_fields=["progress", "sampled_to"])

    def _parts(self, folder: Folder, line: FolderLine) -> Iterator[None]:
        if line.is_done:
            return
        imap = self.session.imap
        status = imap.examine(folder.name)
        if line.uidvalidity not in (None, status.uidvalidity):  # UIDVALIDITY changed between two parts: begin again
            line.begin_anew()
        line.uidvalidity = status.uidvalidity
        state = SyncState.objects.filter(folder=folder).first()
        if state is not None and state.uidvalidity not in (None, status.uidvalidity):
            line.renumbered_from = state.uidvalidity
        listed = imap.search_uids(1, MAX_UID)
        uids = listed[bisect_left(listed, line.next_uid) :]
        for start in range(0, max(len(uids), 1), PART):
            part = uids[start : start + PART]
            high = MAX_UID if start + PART >= len(uids) else part[-1]
            held = held_of(folder, state, status.uidvalidity, line.next_uid, high)
            metas = imap.fetch_meta(part)
            sizes = sizes_of(imap, part, metas)
            if len(listed) != status.exists:
                sizes |= _unlisted(imap, line, sizes, held)
            found = [*compare.compare(line, sizes, held), *_other_flags(folder, line, metas, held)]
            self._ask_sync(folder, status.uidvalidity, found)
            line.next_uid = high + 1
            if high == MAX_UID:
                line.error = _what_is_not_listed(status.exists - len(listed) - line.unlisted)
                self._ask_sync(folder, status.uidvalidity, self._sample(imap, folder, line))
                line.next_uid, line.at = 0, self.session.clock().isoformat()
            yield

    def _sample(self, imap: ImapSession, folder: Folder, line: FolderLine) -> list[compare.Finding]:
        after = self.row.sampled_to.get(str(folder.pk), 0)
        read = sample.read_sample(imap, folder, line.uidvalidity or 0, after)
        self.row.sampled_to[str(folder.pk)] = read.reached
        line.sampled = read.number
        line.note(read.findings)
        return read.findings

    def _ask_sync(self, folder: Folder, uidvalidity: int, found: Sequence[compare.Finding]) -> None:
        """Have the next sync compare all UIDs, so that it fetches missing messages, and fetch changed ones again."""
        of_places = (compare.SIZE, compare.LOST, compare.OTHER_BYTES)
        again = [each.uid for each in found if each.what in of_places and each.remedy == compare.FETCH]
        is_missing = any(each.what in (compare.MISSING, compare.HIDDEN, compare.FLAGS) for each in found)
        if not again and not is_missing:
            return
        now = self.session.clock()
        with transaction.atomic():
            self.session.lease.renew()
            if is_missing:
                SyncState.objects.filter(folder=folder).update(compared_at=now - 2 * COMPARE_EVERY)
            lying = MessagePlace.objects.present().filter(folder=folder, uidvalidity=uidvalidity, uid__in=again)
            lying.update(fetch_requested_at=now)


def sizes_of(imap: ImapSession, uids: Sequence[int], metas: Mapping[int, MessageMeta]) -> dict[int, int]:
    """UID -> RFC822.SIZE; 0 where the server states none. `metas`: what FETCH answered for these UIDs.

    A UID that FETCH leaves out counts as present when a second SEARCH finds it again. Otherwise a message that the
    server's FETCH leaves out could be missing here without being reported.
    """
    sizes = {uid: meta.size for uid, meta in metas.items()}
    if left_out := set(uids) - sizes.keys():
        sizes |= dict.fromkeys(left_out.intersection(imap.search_uids(min(left_out), max(left_out))), 0)
    return sizes


def _other_flags(
    folder: Folder, line: FolderLine, metas: Mapping[int, MessageMeta], held: StoredRange
) -> list[compare.Finding]:
    """Stored messages whose flags or labels are others on the server. Counts and names them in the line."""
    flags = {uid: meta.flags_and_labels for uid, meta in metas.items() if meta.size and uid in held.places}
    differing = [place.uid for place in places.differing(folder, line.uidvalidity or 0, flags) if not place.gone_at]
    found = [compare.Finding(uid, compare.FLAGS, compare.FOLLOW) for uid in sorted(differing)]
    line.other_flags += len(found)
    line.note(found)
    return found


def _unlisted(imap: ImapSession, line: FolderLine, sizes: Mapping[int, int], held: StoredRange) -> dict[int, int]:
    """Stored messages that SEARCH left out and FETCH returns, as UID -> 0. They count as present on the server, as they
    do for syncs (flags_and_expunges)."""
    doubtful = sorted(uid for uid, place in held.places.items() if place.is_shown and uid not in sizes)
    known = imap.fetch_known_uids(doubtful)
    line.unlisted += len(known)
    return dict.fromkeys(known, 0)


def _what_is_not_listed(number: int) -> str:
    """A sentence for the report; "" where there is nothing to say.

    `number`: EXISTS minus the number of UIDs that the server gave.
    """
    if number <= 0:
        return ""
    return f"The server states {number:,} more messages than it gives UIDs of: whether these are here is not known."


def held_of(folder: Folder, state: SyncState | None, uidvalidity: int, low: int, high: int) -> StoredRange:
    """What is stored of the UIDs from `low` to `high`, both included."""
    where: dict[str, Any] = {"folder": folder, "uidvalidity": uidvalidity, "uid__gte": low, "uid__lte": high}
    rows = MessagePlace.objects.filter(**where).values_list("uid", "size", "gone_at", "is_complete")
    fetched_low, fetched_high = 1, 0
    if state is not None and state.uidvalidity == uidvalidity and state.backfill_cursor is not None:
        fetched_low, fetched_high = state.backfill_cursor, state.cursor
    return StoredRange(
        places={uid: StoredUid(uid, size, gone_at is None, is_whole) for uid, size, gone_at, is_whole in rows},
        let_go=frozenset(LetGo.objects.filter(**where).values_list("uid", flat=True)),
        quarantined=frozenset(Quarantine.objects.open().filter(**where).values_list("uid", flat=True)),
        fetched_low=fetched_low,
        fetched_high=fetched_high,
    )
