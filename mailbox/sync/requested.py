"""What was asked for beside the walk of a folder: quarantined messages again, and messages whole that are too large to
come with the others. People ask for the one and the other; the walk itself asks for the large ones it put off.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from mailbox.errors import MailError, Throttled
from mailbox.imap.responses import is_refusal
from mailbox.imap.session import MessageMeta
from mailbox.messages import places
from mailbox.models import MessagePlace, Quarantine
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob
from mailbox.storage.partial_files import PartialFile
from mailbox.sync.batches import FolderRun, ReadBatch, breaks_connection
from mailbox.sync.large_messages import PIECES_FROM_BYTES, Gone, LargeMessage, Unfinished
from mailbox.sync.poison import MOST_ATTEMPTS_ASKED
from mailbox.sync.prefetch import Fetched


def fetch_asked(run: FolderRun) -> bool:
    """Fetch it, one by one: they are few, large, or known for trouble. Returns whether some is left for another run.

    Those that are gone from the server are settled.
    """
    again = _uids(run, Quarantine.objects.wanted())
    whole = _wanted_places(run)
    for uid in sorted(again):
        _fetch(run, uid, settings.FETCH_NOW_MAX_BYTES if uid in whole else settings.MAX_MESSAGE_BYTES)
    # At the first for which there is no time left, the rest waits too.
    return not all(_fetch(run, uid, settings.FETCH_NOW_MAX_BYTES) for uid in sorted(whole - again))


def _wanted_places(run: FolderRun) -> set[int]:
    """By the index of what is wanted, which is little: the + 0 keeps SQLite from walking over the whole folder.
    PostgreSQL chooses that index by itself."""
    wanted = MessagePlace.objects.present().filter(fetch_requested_at__isnull=False)
    if connection.vendor == "sqlite":
        here = wanted.alias(lies_in=F("folder_id") + 0).filter(lies_in=run.folder.pk)
    else:
        here = wanted.filter(folder=run.folder)
    return {uid for uid, uidvalidity in here.values_list("uid", "uidvalidity") if uidvalidity == run.uidvalidity}


def _uids(run: FolderRun, rows: QuerySet[Any]) -> set[int]:
    return set(rows.filter(folder=run.folder, uidvalidity=run.uidvalidity).values_list("uid", flat=True))


def _fetch(run: FolderRun, uid: int, limit: int) -> bool:
    """False when there was no time for all of it: it stays asked for."""
    if run.attempts.begin(uid) > MOST_ATTEMPTS_ASKED:
        run.commit(ReadBatch(failures={uid: breaks_connection(run.state_pk)}), run.stretch, begun=uid)
        _settle(run, uid, is_there=True)
        return True
    metas = {meta.uid: meta for meta in run.session.imap.fetch_meta([uid])}
    meta = metas.get(uid)
    run.session.renew()
    with parsing_pool.running():
        if meta is None or meta.size <= PIECES_FROM_BYTES or meta.size > limit:
            fetched = run.source(limit).bring([uid], metas)
        else:
            try:
                fetched = _in_pieces(run, meta, limit)
            except Unfinished:
                run.attempts.end(uid)
                return False
        run.commit(run.read_batch(fetched, prove=True), run.stretch, begun=uid)
    if meta is not None:
        _file(run, meta).remove()
    _settle(run, uid, is_there=bool(fetched.messages or fetched.failures))
    return True


def _in_pieces(run: FolderRun, meta: MessageMeta, limit: int) -> Fetched:
    """A piece that has come is no sign of poison, however often the connection or the worker ends afterwards."""
    fetched = Fetched([meta.uid], sizes={meta.uid: meta.size})
    file = _file(run, meta)
    try:
        message = LargeMessage(run.session, meta, file, limit).fetch(lambda: run.attempts.forgive(meta.uid))
    except Gone:
        return fetched
    except MailError as error:
        if not is_refusal(error) or (isinstance(error, Throttled) and not run.source(limit).gives_another(meta.uid)):
            raise
        fetched.failures[meta.uid] = str(error)
        return fetched
    fetched.messages = [message]
    order = ParseJob(message.raw, meta.size, run.folder.account_id, connection.vendor, str(file.path))
    fetched.read = parsing_pool.read([order])
    return fetched


def _file(run: FolderRun, meta: MessageMeta) -> PartialFile:
    return PartialFile.of(run.folder.pk, run.uidvalidity, meta.uid, meta.size, meta.internal_date)


def _settle(run: FolderRun, uid: int, *, is_there: bool) -> None:
    now = run.session.clock()
    where = Q(folder=run.folder, uidvalidity=run.uidvalidity, uid=uid)
    MessagePlace.objects.filter(where).update(fetch_requested_at=None)
    if not is_there and not run.session.imap.search_uids(uid, uid):
        Quarantine.objects.wanted().filter(where).update(resolved_at=now, fetch_requested_at=None)
        with transaction.atomic():
            places.drop(where, now)
