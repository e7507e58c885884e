"""A zip file that is written piece by piece: each piece knows only where it begins. Pure.

The last piece is the directory of all; so what is kept between two pieces is a line for each file, and a process that
dies between them costs one piece.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

FASTEST = 1  # mail is mostly base64, of which more work takes little more away
_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)  # what a zip can say
Entry = list[Any]  # of the directory, as JSON keeps it


class _Piece(io.BytesIO):
    """Bytes that lie at `begin` of a larger file, and say so when asked where they are."""

    def __init__(self, begin: int) -> None:
        super().__init__()
        self.begin = begin

    def tell(self) -> int:
        return self.begin + super().tell()

    def seek(self, position: int, whence: int = 0) -> int:
        return self.begin + super().seek(position - self.begin if whence == io.SEEK_SET else position, whence)


def piece(begin: int, files: Iterable[tuple[str, bytes, datetime]]) -> tuple[bytes, list[Entry]]:
    """The bytes of these files (name, content, time), the first of which lies at `begin`, and their entries."""
    target = _Piece(begin)
    archive = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=FASTEST)
    for name, content, at in files:
        archive.writestr(_info(name, at), content, zipfile.ZIP_DEFLATED, FASTEST)
    return target.getvalue(), [_entry(info) for info in archive.infolist()]  # not closed: that writes a directory


def end(begin: int, entries: Iterable[Entry], files: Sequence[tuple[str, bytes]], at: datetime) -> bytes:
    """The last piece: these files and the directory of everything."""
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
