"""Checks attachments against the policy and reads them: from base64, an upload, or a file under the storage root."""

from __future__ import annotations

import base64
import binascii
import errno
import mimetypes
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.utils.translation import gettext, gettext_noop, ngettext

from outbox.compose.addresses import refuse_breaks
from outbox.errors import ValidationFailed

TOO_LARGE = gettext_noop("attachment exceeds size limit")
TYPE_NOT_ALLOWED = gettext_noop("attachment content type is not allowed")
NO_STORE = gettext_noop("attachment store not configured")
ESCAPES = gettext_noop("attachment path escapes storage root")
MAX_ATTACHMENTS = 50
MAX_TYPE = 255  # characters: twice 127 and a slash (RFC 6838 4.2)
_CONTENT_TYPE = re.compile(r"[a-z0-9!#$&^_.+\-]+/[a-z0-9!#$&^_.+\-]+")


@dataclass(frozen=True)
class AttachmentInput:
    """An attachment of a request. Exactly one of `base64`, `content` and `path` is given.

    content_type: "" means that the extension of the file name decides. path: relative to the storage root.
    """

    filename: str = ""
    content_type: str = ""
    base64: str | None = None
    content: bytes | None = None
    path: str | None = None
    content_id: str = ""  # without angle brackets (RFC 2392), if the HTML shows it as a picture; "": an ordinary file


@dataclass(frozen=True)
class AttachmentContent:
    """An attachment that passed the policy, with its bytes."""

    filename: str
    content_type: str
    content: bytes
    content_id: str = ""


class PolicyLimits(Protocol):
    """What an attachment is checked against: the fields of AttachmentPolicy."""

    max_size_bytes: int
    allowed_content_types: list[str]


@dataclass(frozen=True)
class AttachmentStore:
    """The folder from which files may be attached by path, and whether that is enabled."""

    enabled: bool
    root: Path


def read_attachments(
    wanted: Sequence[AttachmentInput], policy: PolicyLimits, store: AttachmentStore
) -> list[AttachmentContent]:
    """Check each attachment against the policy and read it; raises ValidationFailed."""
    if len(wanted) > MAX_ATTACHMENTS:
        raise ValidationFailed(
            ngettext(
                "At most %(number)s attachment goes in one mail: leave some out, or zip them.",
                "At most %(number)s attachments go in one mail: leave some out, or zip them.",
                MAX_ATTACHMENTS,
            )
            % {"number": MAX_ATTACHMENTS}
        )
    return [read_attachment(each, policy, store) for each in wanted]


def read_attachment(wanted: AttachmentInput, policy: PolicyLimits, store: AttachmentStore) -> AttachmentContent:
    """Check one attachment and return it with its bytes. Raises ValidationFailed."""
    sources = [wanted.base64, wanted.content, wanted.path]
    if sum(source is not None for source in sources) != 1:
        raise ValidationFailed(gettext("An attachment needs exactly one of base64, content and path."))
    filename = checked_filename(wanted.filename or Path(wanted.path or "").name)
    content_type = checked_type(wanted.content_type or _guess(filename), policy)
    if wanted.path is not None:
        content = _read_file(wanted.path, store, policy.max_size_bytes)
    elif wanted.base64 is not None:
        content = _decode(wanted.base64, policy.max_size_bytes)
    else:
        content = wanted.content or b""
    if len(content) > policy.max_size_bytes:
        raise ValidationFailed(TOO_LARGE)
    return AttachmentContent(filename, content_type, content, wanted.content_id)


def checked_filename(filename: str) -> str:
    """The last component of a file name, cut to 255 bytes; old browsers send whole paths. Raises ValidationFailed."""
    refuse_breaks(gettext("The attachment's file name"), filename)
    name = re.split(r"[/\\]", filename)[-1].strip()
    if name in ("", ".", ".."):
        return "attachment"
    stem, dot, ending = name.rpartition(".")
    while len(name.encode()) > 255:
        stem, name = (stem[:-1], f"{stem[:-1]}{dot}{ending}") if len(ending) < 20 and stem else ("", name[:-1])
    return name


def checked_type(content_type: str, policy: PolicyLimits) -> str:
    """The media type in lower case, without parameters. Raises ValidationFailed if the policy does not allow it."""
    bare = content_type.partition(";")[0].strip().lower()
    allowed = {each.strip().lower() for each in policy.allowed_content_types}
    if not _CONTENT_TYPE.fullmatch(bare) or len(bare) > MAX_TYPE or bare not in allowed:
        raise ValidationFailed(TYPE_NOT_ALLOWED)
    return bare


def _guess(filename: str) -> str:
    return mimetypes.guess_type(filename, strict=True)[0] or "application/octet-stream"


def _decode(text: str, max_size_bytes: int) -> bytes:
    # Check the size before decoding, to save memory: 4 characters are 3 bytes, apart from line breaks.
    if len(text) * 3 // 4 > max_size_bytes * 1.1 + 4096:
        raise ValidationFailed(TOO_LARGE)
    compact = "".join(text.split())
    if (len(compact) - compact[-2:].count("=")) * 3 // 4 > max_size_bytes:
        raise ValidationFailed(TOO_LARGE)
    try:
        return base64.b64decode(compact.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValidationFailed(gettext("The attachment is not valid base64: encode the file's bytes again.")) from None


def _read_file(path: str, store: AttachmentStore, max_size_bytes: int) -> bytes:
    if not store.enabled:
        raise ValidationFailed(NO_STORE)
    descriptor = _open_inside(store.root, path)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ValidationFailed(gettext("The attachment's path is not a file: name a file under the storage root."))
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > max_size_bytes:
            raise ValidationFailed(TOO_LARGE)
        return file.read(max_size_bytes + 1)  # it may have grown since fstat


def _open_inside(root: Path, path: str) -> int:
    """Open the file that the path resolves to; returns a file descriptor. Raises ValidationFailed.

    The resolved path is opened without following links, as one may be made between resolve() and open().
    """
    if "\x00" in path:
        raise ValidationFailed(gettext("The attachment's path holds a NUL character: remove it."))
    try:
        real_root = root.resolve(strict=True)
    except (OSError, RuntimeError):
        raise ValidationFailed(NO_STORE) from None
    try:
        resolved = (real_root / path).resolve()
    except (OSError, RuntimeError):  # links that refer to each other in a circle
        raise ValidationFailed(ESCAPES) from None
    if resolved == real_root or not resolved.is_relative_to(real_root):
        raise ValidationFailed(ESCAPES)
    return _walk(real_root, resolved.relative_to(real_root).parts)


def _walk(root: Path, parts: Sequence[str]) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # NONBLOCK: else opening a FIFO would block
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ValidationFailed(ESCAPES) from None
        raise ValidationFailed(
            gettext("The attachment's file cannot be read (%(reason)s): check its path under the storage root.")
            % {"reason": error.strerror}
        ) from None
    finally:
        os.close(folder)
