"""A store of backups on S3 or a compatible server: s3://bucket/prefix."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from django.conf import settings

from mailbox.storage.durable_files import raw_stores
from prx_email_site import one_at_a_time
from prx_email_site.backup.faults import BackupFault
from prx_email_site.backup.stores import BackupFile, BackupStore, Measured, measure
from prx_email_site.local_files.scratch_folders import scratch_folder

try:
    from mailbox.storage.object_store import S3RawStorage
except ImportError as error:
    raise BackupFault(
        "A backup on S3 needs more packages: .venv/bin/python -m pip install --require-hashes -r requirements-s3.lock"
    ) from error


@dataclass(frozen=True)
class Bucket(BackupStore):
    """A store in a bucket, below a prefix. It refuses a prefix that overlaps with stored mail."""

    storage: S3RawStorage

    @classmethod
    def at(cls, address: str) -> Bucket:
        """The store at this address. Raises BackupFault."""
        parts = urlsplit(address)
        prefix = parts.path.strip("/")
        if not parts.netloc or not prefix:
            raise BackupFault(f"{address} must be s3://BUCKET/PREFIX.")
        bucket = cls(S3RawStorage(**settings.BACKUP_S3, bucket_name=parts.netloc, location=prefix))
        for store in raw_stores():
            if isinstance(store, S3RawStorage) and bucket._is_beside(store):
                bucket._refuse_overlap(store)
        return bucket

    def _is_beside(self, store: S3RawStorage) -> bool:
        ours = self.storage
        return bool((store.bucket_name, store.endpoint_url) == (ours.bucket_name, ours.endpoint_url))

    def _refuse_overlap(self, store: S3RawStorage) -> None:
        """Raise BackupFault if one of backups and raw store is inside the other.

        The raw store's sweep would remove backups, or `--keep` stored mail that no backup refers to.
        """
        ours, theirs = (f"{each.location.strip('/')}/".lstrip("/") for each in (self.storage, store))
        if ours.startswith(theirs) or theirs.startswith(ours):
            raise BackupFault(f"{self} and the raw store lie one within the other: give another bucket, or prefix.")

    def __str__(self) -> str:
        return f"s3://{self.storage.bucket_name}/{self.storage.location}"

    def put(self, name: str, source: IO[bytes], path: str) -> BackupFile:
        measured = Measured(source, path)
        self.storage.save(name, measured)
        return measured.as_stored(path)

    def take(self, draft: Path, name: str) -> BackupFile:
        with draft.open("rb") as file:
            stored = measure(file, Path(name).name)
            file.seek(0)
            self.storage.upload(name, file)
        draft.unlink()
        return stored

    def open(self, name: str) -> IO[bytes]:
        opened: IO[bytes] = self.storage.open(name, "rb").file
        return opened

    def sizes(self, folder: str = "") -> dict[str, int]:
        return {name: each["Size"] for name, each in self.storage.objects(folder)}

    def remove(self, name: str) -> None:
        self.storage.delete(name)

    def alone(self) -> AbstractContextManager[None]:
        """Excludes other backups of this installation only, as S3 has no locks."""
        return one_at_a_time.or_refused(
            Path(settings.DATA_DIR) / "backup.lock",
            one_at_a_time.BACKUP_LOCK,
            BackupFault("Another backup to S3 is at work."),
        )

    def demand_room(self, wanted: int) -> None:
        """It takes no room on a disk of this host, but for drafts()."""

    def drafts(self) -> AbstractContextManager[Path]:
        return scratch_folder("draft")
