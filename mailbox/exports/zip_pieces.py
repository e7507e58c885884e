"""Writes a zip file piece by piece: a piece needs only the offset at which it begins. Pure.

The last piece has the central directory. Between two pieces only one entry for each file is kept, and a process that
dies loses one piece at most.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

FASTEST = 1  # mail is mostly base64, which higher levels make little smaller
_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)  # a zip's range
Entry = list[Any]  # an entry of the central directory, as JSON values


class _Piece(io.BytesIO):
    """A buffer that lies at offset `begin` of a larger file: tell() and seek() use offsets of that file."""

    def __init__(self, begin: int) -> None:
        super().__init__()
        self.begin = begin

    def tell(self) -> int:
        return self.begin + super().tell()

    def seek(self, position: int, whence: int = 0) -> int:
        return self.begin + super().seek(position - self.begin if whence == io.SEEK_SET else position, whence)


def piece(begin: int, files: Iterable[tuple[str, bytes, datetime]]) -> tuple[bytes, list[Entry]]:
    """The bytes of these files (name, content, time), which begin at offset `begin`, and their directory entries."""
    target = _Piece(begin)
    archive = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=FASTEST)
    for name, content, at in files:
        archive.writestr(_info(name, at), content, zipfile.ZIP_DEFLATED, FASTEST)
    return target.getvalue(), [_entry(info) for info in archive.infolist()]  # close() would write a directory here


def end(begin: int, entries: Iterable[Entry], files: Sequence[tuple[str, bytes]], at: datetime) -> bytes:
    """The last piece, which begins at offset `begin`: these files and the central directory of all files."""
    target = _Piece(begin)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=FASTEST) as archive:
        archive.infolist().extend(map(_of_entry, entries))
        for name, content in files:
            archive.writestr(_info(name, at), content, zipfile.ZIP_DEFLATED, FASTEST)
    return target.getvalue()


def _info(name: str, at: datetime) -> zipfile.ZipInfo:
    utc = min(max(at.astimezone(UTC), _FIRST), _LAST)
    info = zipfile.ZipInfo(name, utc.timetuple()[:6])
    info.external_attr = 0o600 << 16
    return info


def _entry(info: zipfile.ZipInfo) -> Entry:
    flags, sizes = [info.flag_bits, info.compress_type], [info.CRC, info.compress_size, info.file_size]
    return [info.filename, list(info.date_time), info.header_offset, *flags, *sizes]


def _of_entry(entry: Entry) -> zipfile.ZipInfo:
    name, date_time, offset, flags, kind, crc, compressed, size = entry
    year, month, day, hour, minute, second = date_time
    info = zipfile.ZipInfo(name, (year, month, day, hour, minute, second))
    info.header_offset, info.flag_bits, info.compress_type = offset, flags, kind
    info.CRC, info.compress_size, info.file_size = crc, compressed, size
    info.external_attr = 0o600 << 16
    return info
