"""Fetches single messages that were asked for: quarantined ones again, and large ones whole.

A person asks with a button; the walk asks for large messages of which it stored only the header.
"""

from __future__ import annotations

from functools import partial

from django.conf import settings
from django.db.models import F

from mailbox.imap.session import FetchedMessage, MessageMeta
from mailbox.models import MessagePlace, Quarantine
from mailbox.storage.partial_files import PartialFile
from mailbox.sync.flags_and_expunges import drop
from mailbox.sync.folder_run import FolderRun
from mailbox.sync.large_messages import PIECES_FROM_BYTES, LargeMessage, Unfinished
from mailbox.sync.poison import MOST_ATTEMPTS_ASKED
from mailbox.sync.prefetch import Batch


def fetch_asked(run: FolderRun) -> bool:
    """Fetch all that was asked for, message by message. Returns whether some are left for another run.

    A request for a message that is gone from the server is closed.
    """
    again = set(Quarantine.objects.wanted().filter(run.here).values_list("uid", flat=True))
    whole = _wanted_places(run)
    for uid in sorted(again):
        _fetch(run, uid, settings.FETCH_NOW_MAX_BYTES if uid in whole else settings.MAX_MESSAGE_BYTES)
    # all() stops at the first message for which the time is over: the rest waits for the next run.
    return not all(_fetch(run, uid, settings.FETCH_NOW_MAX_BYTES) for uid in sorted(whole - again))


def _wanted_places(run: FolderRun) -> set[int]:
    """UIDs of this folder that are to be fetched whole, found by the partial index of requests, which is small.

    The `+ 0` keeps SQLite from choosing the folder's index, which is large.
    """
    wanted = MessagePlace.objects.present().filter(fetch_requested_at__isnull=False)
    here = wanted.alias(lies_in=F("folder_id") + 0).filter(lies_in=run.folder.pk, uidvalidity=run.uidvalidity)
    return set(here.values_list("uid", flat=True))


def _fetch(run: FolderRun, uid: int, limit: int) -> bool:
    """Fetch and store one message; False when the time was over first, and the request stays."""
    number = run.attempts.begin(uid)
    if number > MOST_ATTEMPTS_ASKED:
        run.commit(Batch([uid], failures={uid: run.attempts.reason()}))
        _settle(run, uid, is_there=True)
        return True
    metas = run.session.imap.fetch_meta([uid])
    meta = metas.get(uid)
    run.session.lease.renew()
    # Where it broke the connection, it may be larger than the server states.
    is_large = meta is not None and meta.size <= limit and (meta.size > PIECES_FROM_BYTES or number > 1)
    try:
        batch = run.source(limit).bring([uid], metas, partial(_in_pieces, run, limit) if is_large else None)
    except Unfinished:
        run.attempts.end(uid)
        return False
    run.commit(batch, prove=True)
    if meta is not None:
        _file(run, meta).remove()
    _settle(run, uid, is_there=bool(batch.messages or batch.failures))
    return True


def _in_pieces(run: FolderRun, limit: int, meta: MessageMeta) -> list[FetchedMessage]:
    """Fetch a large message in pieces. Each piece ends the attempt: a message that makes progress is not the one that
    breaks connections (see poison)."""
    message = LargeMessage(run.session, meta, _file(run, meta), limit)
    return message.fetch(lambda: run.attempts.end(meta.uid))


def _file(run: FolderRun, meta: MessageMeta) -> PartialFile:
    return PartialFile.of(run.folder.pk, run.uidvalidity, meta.uid, meta.size, meta.internal_date)


def _settle(run: FolderRun, uid: int, *, is_there: bool) -> None:
    MessagePlace.objects.filter(run.here, uid=uid).update(fetch_requested_at=None)
    if not is_there and not run.session.imap.search_uids(uid, uid):
        drop(run, [uid])
