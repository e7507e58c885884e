"""Where raw messages are stored (docs/operations.md, "The raw store")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prx_email_site import environment as env

FILES = "mailbox.storage.backend.DurableFileSystemStorage"
MIB = 1024 * 1024


def raw_storage_of(data_dir: Path) -> dict[str, Any]:
    """The entry of STORAGES. A folder that is named is taken for one that hosts share."""
    backend, folder = env.text("PRX_EMAIL_RAW_STORAGE", FILES), env.text("PRX_EMAIL_RAW_DIR")
    options: dict[str, Any] = {"location": str(data_dir / "raw")}
    if folder:
        options = {"location": str(Path(folder).resolve())} | ({"shared": True} if backend == FILES else {})
    return {"BACKEND": backend, "OPTIONS": options}


def raw_cache_bytes() -> int:
    """How much of stored mail that lies elsewhere is kept on this host's own disk as well."""
    return MIB * env.integer("PRX_EMAIL_RAW_CACHE_MB", 256)
