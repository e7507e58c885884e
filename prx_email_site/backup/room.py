"""Room on this host's disks: a full one stops the outbox, for which backups are made."""

from __future__ import annotations

from pathlib import Path

from mailbox.storage import disk_budget
from prx_email_site.backup.faults import NoRoom


def demand(folder: Path, wanted: int) -> None:
    """Raise NoRoom if `wanted` bytes in this folder would take the reserve of a disk to which mail is written."""
    if disk_budget.takes_reserve(folder, wanted):
        raise NoRoom(
            f"{wanted:,} bytes in {folder} would leave the disk, on which mail is stored, less than "
            f"PRX_EMAIL_DISK_RESERVE_MB. Name a folder of another disk, or set TMPDIR to one."
        )
