"""The raw store on S3 or a compatible server (PRX_EMAIL_RAW_STORAGE=s3): segments are objects, messages byte ranges.

An object exists whole or not at all, and is durable when its PUT is answered. All errors are raised as OSError, as with
files: received mail then stays on its server, and outgoing mail waits.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage

from mailbox.storage.durable_files import MAPPED_FROM, PIECE

CONNECT_SECONDS, ANSWER_SECONDS, TRIES = 5, 20, 3
_OURS = re.compile(r"(\d{4}|check)/")
_NO_SUCH_OBJECT = {"NoSuchKey", "404"}
# An answer to HEAD has no body, so neither code nor words: 403, or 400 for a token that has expired.
_KEY_REFUSED = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "InvalidToken"}
_KEY_REFUSED |= {"400", "403"}


class S3RawStorage(S3Storage):  # type: ignore[misc]  # untyped
    """options: those of django-storages. answer_seconds: how long each of TRIES waits for an answer."""

    copied_from = 0  # bytes; each message that is read is kept in local_copies, whatever its size

    def __init__(self, *, answer_seconds: float = ANSWER_SECONDS, **options: Any) -> None:
        config = Config(
            s3={"addressing_style": "path" if options.get("endpoint_url") else "auto"},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=answer_seconds,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=32,
            # Some compatible servers do not support the newer checksums. MD5 protects a PUT, SHA-256 each message.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        transfer = TransferConfig(multipart_threshold=MAPPED_FROM, multipart_chunksize=MAPPED_FROM, use_threads=False)
        super().__init__(file_overwrite=True, client_config=config, transfer_config=transfer, **options)
        self._made: tuple[int, Any] = (0, None)

    @property
    def client(self) -> Any:
        """The boto3 client, one for all threads of a process as it is slow to make. A forked process makes its own, as
        it must not share sockets."""
        pid, client = self._made
        if pid != os.getpid():
            client = self._create_session().client(
                "s3",
                region_name=self.region_name,
                endpoint_url=self.endpoint_url,
                verify=self.verify,
                config=self.client_config,
            )
            self._made = (os.getpid(), client)
        return client

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """Read `length` bytes of a segment at `offset`; fewer at its end. Raises OSError."""
        if not length:
            return b""  # HTTP has no empty range (RFC 9110, 14.1.2)
        where = {**self._where(name), "Range": f"bytes={offset}-{offset + length - 1}"}
        for left in reversed(range(TRIES)):  # boto3 retries until the answer begins, but not when it breaks off
            try:
                with _as_os_errors(name):
                    return bytes(self.client.get_object(**where)["Body"].read())
            except _Cut:
                if not left:
                    raise
            except _PastItsEnd:
                break
        return b""

    def old_files(self, cutoff: datetime) -> Iterator[tuple[str, int]]:
        """Name and size of segments written before `cutoff` by the server's clock. Raises OSError."""
        for name, each in self.objects():
            if _OURS.match(name) and each["LastModified"] < cutoff:
                yield name, each["Size"]

    def objects(self, folder: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and listing entry of each object below this folder. Raises OSError."""
        prefix = self._normalize_name("").rstrip("/")
        prefix += "/" if prefix else ""
        below = f"{prefix}{folder}/" if folder else prefix
        with _as_os_errors(below):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name, Prefix=below)
            for page in pages:
                for each in page.get("Contents", ()):
                    yield each["Key"].removeprefix(prefix), each

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Names of the folders and of the objects in a folder. Raises OSError."""
        below = [name.removeprefix(f"{path}/").split("/") for name, _ in self.objects(path)]
        return sorted({parts[0] for parts in below if parts[1:]}), [parts[0] for parts in below if not parts[1:]]

    def upload(self, name: str, file: IO[bytes]) -> None:
        """Upload a local file, in parts if it is large. Raises OSError."""
        with _as_os_errors(name):
            self.client.upload_fileobj(file, **self._where(name), Config=self.transfer_config)

    def _where(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket_name, "Key": self._normalize_name(name)}

    def _save(self, name: str, content: File[bytes]) -> str:
        with tempfile.SpooledTemporaryFile(MAPPED_FROM) as body:
            digest = hashlib.md5(usedforsecurity=False)
            for chunk in content.chunks():
                body.write(chunk)
                digest.update(chunk)
            size = body.tell()
            body.seek(0)
            if size < MAPPED_FROM:
                with _as_os_errors(name):
                    md5 = base64.b64encode(digest.digest()).decode()
                    self.client.put_object(**self._where(name), Body=body, ContentLength=size, ContentMD5=md5)
                    return name
            self.upload(name, body)
        return name

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        """Download the whole segment, to a temporary file if it is large."""
        body: IO[bytes] = tempfile.SpooledTemporaryFile(MAPPED_FROM)  # noqa: SIM115 - the caller closes it
        for left in reversed(range(TRIES)):  # as in read_part(); continues behind the bytes that have arrived
            start = {"Range": f"bytes={body.tell()}-"} if body.tell() else {}
            try:
                with _as_os_errors(name):
                    for piece in self.client.get_object(**self._where(name), **start)["Body"].iter_chunks(PIECE):
                        body.write(piece)
                break
            except _PastItsEnd:
                break  # the answer broke off after the last byte
            except _Cut:
                if not left:
                    body.close()
                    raise
        body.seek(0)
        return File(body, name)

    def delete(self, name: str) -> None:
        """Delete the object; S3 reports no error for one that is missing. Raises OSError."""
        with _as_os_errors(name):
            self.client.delete_object(**self._where(name))

    def exists(self, name: str) -> bool:
        """Whether there is such an object. Raises OSError when the server does not say."""
        try:
            self._head(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        """In bytes. Raises OSError, FileNotFoundError for an object that is missing."""
        return int(self._head(name)["ContentLength"])

    def get_modified_time(self, name: str) -> datetime:
        """When the object was written, in UTC. Raises OSError, FileNotFoundError for one that is missing."""
        when: datetime = self._head(name)["LastModified"]
        return when

    def _head(self, name: str) -> dict[str, Any]:
        with _as_os_errors(name):
            head: dict[str, Any] = self.client.head_object(**self._where(name))
        return head


class _Cut(OSError):
    """The connection broke, after the answer had begun or in all of boto3's tries before."""


class _PastItsEnd(OSError):
    """The requested range begins behind the object's end."""


@contextlib.contextmanager
def _as_os_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code, said = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code in _NO_SUCH_OBJECT:
            raise FileNotFoundError(errno.ENOENT, "No such object in the bucket", name) from error
        kind = _PastItsEnd if code == "InvalidRange" else OSError
        hint = " (are its access key and that key's rights still valid?)" if code in _KEY_REFUSED else ""
        number = errno.EACCES if code in ("AccessDenied", "AllAccessDisabled") else errno.EIO
        raise kind(number, f"the object store said {code} {said}".strip() + hint) from error
    except (BotoCoreError, Boto3Error) as error:
        raise _Cut(errno.EIO, f"the object store is out of reach: {error}") from error
