"""Restores a backup within the scratch installation of a proof, and checks the result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import Exists, OuterRef

from mailbox.accounts import stored_secrets
from mailbox.models import RawMessage
from mailbox.storage.sweeping import REFERENCE_FIELDS
from outbox.models import SendingSwitch
from prx_email_site.backup import restoring
from prx_email_site.backup.faults import BackupFault, MessagesMissing, NotEmpty, SendingNotPaused, WrongKey
from prx_email_site.backup.manifest import Backup, Manifest

SCRATCH = "scratch"  # a file in the data folder of an installation that is made for a proof


@dataclass(frozen=True)
class LookedThrough:
    """Numbers of messages and secrets that were checked. `missing`: messages whose bytes are missing or damaged."""

    messages: int = 0
    missing: int = 0
    secrets: int = 0


def restore_and_look(backup: Backup, now: datetime) -> LookedThrough:
    """Restore the database in a scratch installation and check it. Raises BackupFault.

    Stored mail is not copied: it is read from the backup.
    """
    if not (Path(settings.DATA_DIR) / SCRATCH).exists():
        raise NotEmpty("This is no scratch installation: manage.py prove BACKUP makes one.")
    stated = backup.read()
    restoring.check_schema(stated)
    restoring.check_keys(stated)
    restoring.refuse_if_used(now)
    restoring.restore_database(backup, stated, now)
    try:
        call_command("check", databases=["default"])
    except CommandError as error:
        raise BackupFault(f"The checks of the restored installation fail: {error}") from error
    secrets = open_secrets()
    if not SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).exists():
        raise SendingNotPaused("The restored database would send.")
    messages, lost = read_all(backup, stated)
    lost += list(_unknown())
    if lost:
        raise MissingBytes(f"{len(lost)} messages, the first: {lost[0]}", LookedThrough(messages, len(lost), secrets))
    return LookedThrough(messages, 0, secrets)


class MissingBytes(MessagesMissing):
    """MessagesMissing with the numbers of the check."""

    def __init__(self, words: str, found: LookedThrough) -> None:
        super().__init__(words)
        self.found = found


def open_secrets() -> int:
    """Decrypt all stored secrets and return their number. Raises WrongKey if some cannot be decrypted."""
    closed, total = stored_secrets.unopened()
    if closed:
        raise WrongKey(f"The keys open {total - closed} of {total} stored secrets.")
    return total


def read_all(backup: Backup, stated: Manifest) -> tuple[int, list[str]]:
    """Read all messages of a backup; returns their number and a description of each missing or damaged one.

    They are read in the order of segments, so that each segment is fetched once. Raises SegmentMissing, SegmentDamaged.
    """
    segments = {each.path: each for each in stated.segments}
    count, lost = 0, list[str]()
    rows = RawMessage.objects.order_by("segment", "offset").values_list("segment", "offset", "length", "digest")
    for segment, messages in groupby(rows.iterator(chunk_size=2000), itemgetter(0)):
        if (copied := segments.get(segment)) is None:
            named = [f"{digest} in {segment}, which is missing" for *_, digest in messages]
            count, lost = count + len(named), lost + named
            continue
        with restoring.open_segment(backup, segment) as file:
            restoring.refuse_damage(file, copied)
            with backup.opened(file, segment) as plain:
                for _, offset, length, digest in messages:
                    count += 1
                    plain.seek(offset)
                    if hashlib.sha256(plain.read(length)).hexdigest() != digest:
                        lost.append(f"{digest} in {segment}, which is damaged at {offset}")
    return count, lost


def _unknown() -> Iterator[str]:
    """Descriptions of rows that refer to a digest which has no row in the raw store's index."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if field.name in REFERENCE_FIELDS:
                known = RawMessage.objects.filter(digest=OuterRef(field.name))
                named = model._base_manager.exclude(**{field.name: ""}).exclude(**{field.name: None})
                for digest in named.filter(~Exists(known)).values_list(field.name, flat=True).distinct():
                    yield f"{digest} of {model._meta.db_table}, of which the raw store knows nothing"
