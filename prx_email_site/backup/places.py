"""Which store of backups an operator means: a folder's path, or s3://bucket/prefix."""

from __future__ import annotations

from pathlib import Path

from django.core.files.storage import FileSystemStorage

from prx_email_site.backup.faults import BackupFault
from prx_email_site.backup.stores import BackupStore, FolderStore, raw_stores


def at(target: str | Path) -> BackupStore:
    """A folder's path, or s3://bucket/prefix; raises BackupFault."""
    if str(target).startswith("s3://"):
        from prx_email_site.backup.bucket import Bucket  # its packages are not on every machine

        return Bucket.at(str(target))
    if not str(target).strip():  # a variable of a shell that is not set; "." is this folder
        raise BackupFault("The place of the backup is empty: name a folder, or s3://BUCKET/PREFIX.")
    folder = Path(target).resolve()
    for store in raw_stores():
        if isinstance(store, FileSystemStorage):
            _refuse_overlap(folder, Path(store.location).resolve())
    return FolderStore(folder)


def _refuse_overlap(folder: Path, raw: Path) -> None:
    """A backup keeps mail in its own raw/: where that is the raw store, `--keep` would remove what no backup names."""
    if folder.is_relative_to(raw) or raw.is_relative_to(folder / "raw"):
        raise BackupFault(f"{folder} and the raw store lie one within the other: give another folder.")
