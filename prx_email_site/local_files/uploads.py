"""Files that people upload, in temporary files without a name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from mailbox.errors import StorageError


@contextmanager
def _full_disk_is_storage() -> Iterator[None]:
    """Raise StorageError, upon which the site says that the disk is to blame and asks to try again, for an OSError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"An uploaded file could not be written: {error.strerror}") from error


class UnnamedFileUploadHandler(FileUploadHandler):
    """As Django's handler of large files, but a web process that is killed leaves no file behind.

    That of Django's own has a name, and stays in /tmp then, with somebody's attachment in it.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin the next file of the request."""
        super().new_file(*args, **kwargs)
        about = (self.file_name, self.content_type, 0, self.charset, self.content_type_extra)
        with _full_disk_is_storage():
            self.file = UploadedFile(tempfile.TemporaryFile(), *about)  # noqa: SIM115 - Django closes it with the request

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write a piece of the file. None: no other handler needs it."""
        with _full_disk_is_storage():
            self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        """The file, to be read from its start."""
        with _full_disk_is_storage():
            self.file.seek(0)  # writes what is buffered
        self.file.size = file_size
        return self.file

    def upload_interrupted(self) -> None:
        """Close the file of a request that broke off."""
        if hasattr(self, "file"):
            self.file.close()
