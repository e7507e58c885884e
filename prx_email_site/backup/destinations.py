"""Finds the store of backups that an operator names."""

from __future__ import annotations

from pathlib import Path

from django.core.files.storage import FileSystemStorage

from mailbox.storage.durable_files import raw_stores
from prx_email_site.backup.faults import BackupFault
from prx_email_site.backup.stores import BackupStore, FolderStore


def at(target: str | Path) -> BackupStore:
    """The store at a folder's path or s3://bucket/prefix. Raises BackupFault."""
    if str(target).startswith("s3://"):
        from prx_email_site.backup.bucket import Bucket  # its packages are optional

        return Bucket.at(str(target))
    if not str(target).strip():  # probably an unset shell variable; the current folder is "."
        raise BackupFault("The place of the backup is empty: name a folder, or s3://BUCKET/PREFIX.")
    folder = Path(target).resolve()
    for store in raw_stores():
        if isinstance(store, FileSystemStorage):
            _refuse_overlap(folder, Path(store.location).resolve())
    return FolderStore(folder)


def _refuse_overlap(folder: Path, raw: Path) -> None:
    """Raise BackupFault if the backups' raw/ and the raw store overlap: `--keep` would remove stored mail."""
    if folder.is_relative_to(raw) or raw.is_relative_to(folder / "raw"):
        raise BackupFault(f"{folder} and the raw store lie one within the other: give another folder.")
