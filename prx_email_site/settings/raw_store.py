"""Settings of the raw store (docs/operations.md, "The raw store")."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prx_email_site import environment as env

FILES = "mailbox.storage.durable_files.DurableFileSystemStorage"
S3 = "mailbox.storage.object_store.S3RawStorage"
TWO = "mailbox.storage.two_stores.TwoStores"
MIB = 1024 * 1024


def raw_storage_of(data_dir: Path) -> dict[str, Any]:
    """The entry "raw" of STORAGES. Raises SettingError."""
    present = storage_named(env.text("PRX_EMAIL_RAW_STORAGE", "files"), env.text("PRX_EMAIL_RAW_DIR"), data_dir)
    also = env.text("PRX_EMAIL_RAW_ALSO_READ")
    if not also:
        return present
    other = storage_named("files", also, data_dir) if also.startswith("/") else storage_named(also, "", data_dir)
    if other == present:
        raise env.SettingError("PRX_EMAIL_RAW_ALSO_READ names the raw store itself: name the other one, or none.")
    return {"BACKEND": TWO, "OPTIONS": {"present": present, "other": other}}


def storage_named(name: str, folder: str, data_dir: Path) -> dict[str, Any]:
    """A storage for STORAGES. name: files, s3, or the dotted name of a storage class.

    folder: its location, which is then taken to be shared by several hosts; "": the data folder's own.
    """
    if name == "s3":
        return {"BACKEND": S3, "OPTIONS": _s3_options()}
    backend = FILES if name == "files" else name
    options: dict[str, Any] = {"location": str(data_dir / "raw")}
    if folder:
        options = {"location": str(Path(folder).resolve())} | ({"shared": True} if backend == FILES else {})
    return {"BACKEND": backend, "OPTIONS": options}


def _s3_options() -> dict[str, Any]:
    """The options of django-storages. Without keys, boto3 uses its own sources: its files or the machine's role."""
    if find_spec("storages") is None or find_spec("boto3") is None:
        raise env.SettingError(
            "PRX_EMAIL_RAW_STORAGE=s3 needs more packages: "
            ".venv/bin/python -m pip install --require-hashes -r requirements-s3.lock"
        )
    bucket = env.text("PRX_EMAIL_S3_BUCKET")
    if not bucket:
        raise env.SettingError("PRX_EMAIL_RAW_STORAGE=s3 needs the name of a bucket: set PRX_EMAIL_S3_BUCKET.")
    return {"bucket_name": bucket, "location": env.text("PRX_EMAIL_S3_PREFIX"), **_s3_server()}


def _s3_server() -> dict[str, Any]:
    return {
        "endpoint_url": env.text("PRX_EMAIL_S3_ENDPOINT") or None,
        "region_name": env.text("AWS_REGION") or env.text("AWS_DEFAULT_REGION") or None,
        "access_key": env.text("AWS_ACCESS_KEY_ID") or None,
        "secret_key": env.text("AWS_SECRET_ACCESS_KEY") or None,
        "security_token": env.text("AWS_SESSION_TOKEN") or None,
    }


def backup_s3_server() -> dict[str, Any]:
    """The server for `manage.py backup s3://…`: that of the raw store, or another one with its own key."""
    own = {
        "endpoint_url": env.text("PRX_EMAIL_BACKUP_S3_ENDPOINT"),
        "region_name": env.text("PRX_EMAIL_BACKUP_S3_REGION"),
        "access_key": env.text("PRX_EMAIL_BACKUP_S3_ACCESS_KEY_ID"),
        "secret_key": env.text("PRX_EMAIL_BACKUP_S3_SECRET_ACCESS_KEY"),
    }
    server = _s3_server() | {name: value for name, value in own.items() if value}
    return server | ({"security_token": None} if own["access_key"] else {})


def raw_cache_bytes() -> int:
    """The size of the cache on this host's disk for mail that is stored elsewhere."""
    return MIB * env.integer("PRX_EMAIL_RAW_CACHE_MB", 256)
