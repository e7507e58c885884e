"""What may be attached, and reading it: base64, an upload, or a file under the storage root."""

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
    """An attachment as it is asked for. Exactly one of `base64`, `content` and `path` is given.

    `content_type` "" means: by the file name's ending. `path` is under the storage root.
    """

    filename: str = ""
    content_type: str = ""
    base64: str | None = None
    content: bytes | None = None
    path: str | None = None
    content_id: str = ""  # of a picture that the HTML shows (RFC 2392), without angle brackets; "": a file beside it


@dataclass(frozen=True)
class AttachmentContent:
    """An attachment that passed the policy, with its bytes."""

    filename: str
    content_type: str
    content: bytes
    content_id: str = ""


class PolicyLimits(Protocol):
    max_size_bytes: int
    allowed_content_types: list[str]


@dataclass(frozen=True)
class AttachmentStore:
    """Where files may be attached from by path."""

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
    """Check one attachment and return its bytes; raises ValidationFailed with the exact message of the case."""
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
    """The last part of a name (browsers of old send whole paths), 255 bytes at most; raises ValidationFailed."""
    refuse_breaks(gettext("The attachment's file name"), filename)
    name = re.split(r"[/\\]", filename)[-1].strip()
    if name in ("", ".", ".."):
        return "attachment"
    stem, dot, ending = name.rpartition(".")
    while len(name.encode()) > 255:
        stem, name = (stem[:-1], f"{stem[:-1]}{dot}{ending}") if len(ending) < 20 and stem else ("", name[:-1])
    return name


def checked_type(content_type: str, policy: PolicyLimits) -> str:
    """The type without parameters, lower case; raises ValidationFailed when it is not allowed."""
    bare = content_type.partition(";")[0].strip().lower()
    allowed = {each.strip().lower() for each in policy.allowed_content_types}
    if not _CONTENT_TYPE.fullmatch(bare) or len(bare) > MAX_TYPE or bare not in allowed:
        raise ValidationFailed(TYPE_NOT_ALLOWED)
    return bare


def _guess(filename: str) -> str:
    return mimetypes.guess_type(filename, strict=True)[0] or "application/octet-stream"


def _decode(text: str, max_size_bytes: int) -> bytes:
    # Before decoding, so that a giant text costs no second giant: 4 characters are 3 bytes, line breaks aside.
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
    """Open what the path resolves to, never through a link: between resolve() and open() one may be put there."""
    if "\x00" in path:
        raise ValidationFailed(gettext("The attachment's path holds a NUL character: remove it."))
    try:
        real_root = root.resolve(strict=True)
    except (OSError, RuntimeError):
        raise ValidationFailed(NO_STORE) from None
    try:
        resolved = (real_root / path).resolve()
    except (OSError, RuntimeError):  # a loop of links
        raise ValidationFailed(ESCAPES) from None
    if resolved == real_root or not resolved.is_relative_to(real_root):
        raise ValidationFailed(ESCAPES)
    return _walk(real_root, resolved.relative_to(real_root).parts)


def _walk(root: Path, parts: Sequence[str]) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # NONBLOCK: a FIFO must not hang us
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
