"""The faults of backups."""

from __future__ import annotations


class BackupFault(Exception):
    """Why a backup cannot be made, restored or trusted. Scripts and the dashboard get the class's name."""

    def __str__(self) -> str:
        return f"{type(self).__name__}: {super().__str__()}"


def code_of(error: BackupFault | OSError) -> str:
    """The name of the fault; "Unreadable" if a file or a store cannot be read or written."""
    return type(error).__name__ if isinstance(error, BackupFault) else "Unreadable"


class NoBackup(BackupFault):
    """There is no manifest, or it cannot be read."""


class DumpTruncated(BackupFault):
    """The database's file is shorter than the manifest says."""


class DumpDamaged(BackupFault):
    """The database's file differs from its digest in the manifest, or is no valid database."""


class SegmentMissing(BackupFault):
    """A file of the raw store is not in the backup."""


class SegmentDamaged(BackupFault):
    """A file of the raw store differs from its digest in the manifest."""


class MessagesMissing(BackupFault):
    """Rows refer to raw messages whose bytes are missing or damaged."""


class WrongKey(BackupFault):
    """The encryption keys do not decrypt the stored secrets."""


class NoIdentity(BackupFault):
    """The backup is encrypted, and no private key was given."""


class WrongIdentity(BackupFault):
    """The given private key does not decrypt the backup."""


class NewerSchema(BackupFault):
    """The backup was made by a newer release, with migrations that this one does not have."""


class OtherDatabase(BackupFault):
    """The backup is of SQLite and the database is PostgreSQL, or the other way round."""


class CountsDiffer(BackupFault):
    """A restored table has more or fewer rows than the backup's."""


class NotEmpty(BackupFault):
    """The database to restore into has accounts."""


class SendingNotPaused(BackupFault):
    """A restored database would send."""


class ToolFailed(BackupFault):
    """pg_dump or pg_restore is missing or failed; or a scratch database cannot be made."""


class NoRoom(BackupFault):
    """It would take the disk's reserve, without which no mail is sent."""
