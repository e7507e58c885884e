"""The note of a restore that is under way: a killed one leaves a database that is none, or waits for no person yet.

It is a file of the data folder, as the database is replaced. While it is there, a check of the environment fails, so
that neither `prepare` nor workers start; `manage.py restore` may go over what there is.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core.checks import CheckMessage, Error

FILE_NAME = "restore.unfinished"


def _file() -> Path:
    return Path(settings.DATA_DIR) / FILE_NAME


def begin(backup: object) -> None:
    """Write the note, durably."""
    with _file().open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{backup}\n")
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(settings.DATA_DIR, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def end() -> None:
    """Remove the note: the restore is whole."""
    _file().unlink()


def what() -> str:
    """The backup whose restore was interrupted; "" if there is none."""
    try:
        return _file().read_text(encoding="utf-8").strip() or "?"
    except FileNotFoundError:
        return ""


def no_restore_is_unfinished(**_: object) -> list[CheckMessage]:
    """The check that fails while a restore is under way or was interrupted."""
    if not (backup := what()):
        return []
    words = f"A restore of {backup} is at work or was interrupted: the database here is not whole."
    hint = (
        f"Run manage.py restore again, with this backup or another one. If you have restored the database by other "
        f"means since, remove {_file()}."
    )
    return [Error(words, hint=hint, id="prx_email_site.E003")]
