"""What a restored database must show, looked at within the scratch installation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import Exists, OuterRef

from mailbox.accounts import stored_secrets
from mailbox.models import RawMessage
from mailbox.storage.backend import raw_storage
from mailbox.storage.sweeping import REFERENCE_FIELDS
from outbox.models import SendingSwitch
from prx_email_site.backup import manifest, restoring
from prx_email_site.backup.manifest import BackupFault, MessagesMissing, NotEmpty, SendingNotPaused, WrongKey

SCRATCH = "scratch"  # a file in the data folder of an installation that is made for a proof


@dataclass(frozen=True)
class LookedThrough:
    """`missing`: messages whose bytes are not there, or are others."""

    messages: int = 0
    missing: int = 0
    secrets: int = 0


def restore_and_look(place: Path, now: datetime) -> LookedThrough:
    """In a scratch installation, whose raw store is the backup's. Raises BackupFault."""
    if not (Path(settings.DATA_DIR) / SCRATCH).exists():
        raise NotEmpty("This is no scratch installation: manage.py prove BACKUP makes one.")
    stated = manifest.read(place)
    restoring.check_schema(stated)
    restoring.check_keys(stated)
    restoring.refuse_if_used()
    restoring.restore_database(place, stated, now)
    try:
        call_command("check", databases=["default"])
    except CommandError as error:
        raise BackupFault(f"The checks of the restored installation fail: {error}") from error
    secrets = open_secrets()
    if not SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).exists():
        raise SendingNotPaused("The restored database would send.")
    messages, lost = read_all()
    lost += list(_unknown())
    if lost:
        raise MissingBytes(f"{len(lost)} messages, the first: {lost[0]}", LookedThrough(messages, len(lost), secrets))
    return LookedThrough(messages, 0, secrets)


class MissingBytes(MessagesMissing):
    """With what was found all the same."""

    def __init__(self, words: str, found: LookedThrough) -> None:
        super().__init__(words)
        self.found = found


def open_secrets() -> int:
    """How many there are; raises WrongKey when some stay closed."""
    closed, total = stored_secrets.unopened()
    if closed:
        raise WrongKey(f"The keys open {total - closed} of {total} stored secrets.")
    return total


def read_all() -> tuple[int, list[str]]:
    """How many messages were read, and what is wrong, segment by segment in the order in which they lie."""
    count, lost = 0, []
    storage = raw_storage()
    rows = RawMessage.objects.order_by("segment", "offset").values_list("digest", "segment", "offset", "length")
    opened, file = "", None
    try:
        for digest, segment, offset, length in rows.iterator(chunk_size=2000):
            if segment != opened:
                if file is not None:
                    file.close()
                opened, file = segment, storage.open(segment, "rb") if storage.exists(segment) else None
            count += 1
            if file is None:
                lost.append(f"{digest} in {segment}, which is missing")
                continue
            file.seek(offset)
            if hashlib.sha256(file.read(length)).hexdigest() != digest:
                lost.append(f"{digest} in {segment}, which is damaged at {offset}")
    finally:
        if file is not None:
            file.close()
    return count, lost


def _unknown() -> Iterator[str]:
    """Rows that refer to bytes of which the raw store knows nothing."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if field.name in REFERENCE_FIELDS:
                known = RawMessage.objects.filter(digest=OuterRef(field.name))
                named = model._base_manager.exclude(**{field.name: ""}).exclude(**{field.name: None})
                for digest in named.filter(~Exists(known)).values_list(field.name, flat=True).distinct():
                    yield f"{digest} of {model._meta.db_table}, of which the raw store knows nothing"
