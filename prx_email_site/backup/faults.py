"""The names of what can be wrong with a backup."""

from __future__ import annotations


class BackupFault(Exception):
    """Why a backup cannot be made, restored or trusted. The class's name is what scripts and the dashboard are told."""

    def __str__(self) -> str:
        return f"{type(self).__name__}: {super().__str__()}"


def code_of(error: BackupFault | OSError) -> str:
    """The name of what is wrong; "Unreadable" where a file or a store cannot be read or written."""
    return type(error).__name__ if isinstance(error, BackupFault) else "Unreadable"


class NoBackup(BackupFault):
    """There is no manifest, or none that can be read."""


class DumpTruncated(BackupFault):
    """The database's file is shorter than the manifest says."""


class DumpDamaged(BackupFault):
    """The database's file has other bytes than the manifest says, or cannot be read as a database."""


class SegmentMissing(BackupFault):
    """A file of the raw store is not in the backup."""


class SegmentDamaged(BackupFault):
    """A file of the raw store has other bytes than when it was copied."""


class MessagesMissing(BackupFault):
    """Rows refer to raw messages whose bytes are not there, or are others."""


class WrongKey(BackupFault):
    """The encryption keys do not open the stored secrets."""


class NoIdentity(BackupFault):
    """The backup is encrypted, and no private key was given."""


class WrongIdentity(BackupFault):
    """The private key that was given does not open the backup."""


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
