"""Fetches some messages of a folder again and compares their digests with the stored ones.

Each comparison takes the UIDs after those of the last one, so after some nights all were read. A stored copy whose
bytes are lost or changed is stored again if the server still has the same bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from mailbox.completeness.compare import DAMAGED, FETCH, KEPT, LOST, OTHER_BYTES, RESTORE, STORED, Finding
from mailbox.errors import StorageError
from mailbox.imap.around_refusals import rows_around
from mailbox.imap.session import ImapSession, MessageMeta
from mailbox.models import Folder, MessagePlace
from mailbox.storage import out_of_reach, raw_store
from mailbox.sync.large_messages import PIECES_FROM_BYTES

MOST_BYTES = 64 * 1024 * 1024  # of one folder's sample


@dataclass(frozen=True)
class Sampled:
    """The result of one sample. `number`: messages that the server returned. `reached`: the next sample begins after
    this UID; 0: at the folder's first."""

    number: int
    reached: int
    findings: list[Finding]


def read_sample(imap: ImapSession, folder: Folder, uidvalidity: int, after: int) -> Sampled:
    """Compare the next messages of the selected folder, those after the UID `after`.

    Messages over PIECES_FROM_BYTES are left out, as they take minutes.
    """
    rows, reached = _next(folder, uidvalidity, after)
    if not rows:
        return Sampled(0, 0, [])
    digests = {uid: digest for uid, _, digest in rows}
    metas = {uid: MessageMeta(uid, (), None, size) for uid, size, _ in rows}
    found: dict[int, list[Finding]] = {}

    def compare_some(uids: Sequence[int]) -> dict[int, None]:
        for fetched in imap.fetch_messages([metas[uid] for uid in uids if uid not in found]):
            uid = fetched.meta.uid
            found[uid] = _compared(uid, fetched.raw, digests[uid])
        return {}

    rows_around(compare_some, list(metas))  # goes on around a message whose FETCH the server refuses
    number = len(found)
    for uid in metas.keys() - found.keys():
        found[uid] = [Finding(uid, DAMAGED, RESTORE)] if _is_sound(digests[uid]) is False else []
    return Sampled(number, reached, [each for uid in sorted(found) for each in found[uid]])


def _next(folder: Folder, uidvalidity: int, after: int) -> tuple[list[tuple[int, int, str]], int]:
    """(UID, size, digest) of the messages of this sample, and `reached` (see Sampled)."""
    whole = MessagePlace.objects.present().filter(folder=folder, uidvalidity=uidvalidity, is_complete=True)
    wanted = settings.COMPLETENESS_SAMPLE
    rows = list(whole.filter(uid__gt=after).order_by("uid").values_list("uid", "size", "raw_digest")[:wanted])
    taken: list[tuple[int, int, str]] = []
    weight = 0
    for row in rows:
        if row[1] > PIECES_FROM_BYTES:
            continue
        weight += row[1]
        if taken and weight > MOST_BYTES:
            return taken, taken[-1][0]
        taken.append(row)
    is_end = len(rows) < wanted
    return taken, 0 if is_end or not rows else rows[-1][0]


def _compared(uid: int, raw: bytes, digest: str) -> list[Finding]:
    is_same, is_sound = raw_store.digest_of(raw) == digest, _is_sound(digest)
    if is_sound is None or (is_same and is_sound):
        return []
    if not is_same and is_sound:
        stored = raw_store.open_raw(digest)
        was_cut = len(stored) < len(raw) and raw.startswith(stored)  # when it was fetched first
        return [Finding(uid, OTHER_BYTES, FETCH if was_cut else KEPT)]
    if not is_same:
        return [Finding(uid, LOST, FETCH)]
    with contextlib.suppress(StorageError):
        raw_store.save_batch([raw], digests=[digest], prove=True)
    return [Finding(uid, DAMAGED, STORED if raw_store.is_sound(digest) else RESTORE)]


def _is_sound(digest: str) -> bool | None:
    """Whether the stored bytes have this digest. None: the file cannot be read on this host at the moment.

    That is no damage: another host may have the file, or the store may answer later. An incident of its own tells of
    it.
    """
    try:
        raw_store.prove(digest)
    except raw_store.RawOutOfReach as missing:
        if isinstance(missing.__cause__, FileNotFoundError) and not out_of_reach.others_work(timezone.now()):
            return False
        out_of_reach.note(missing.segment)
        return None
    except raw_store.RawMissing:
        return False
    return True
