"""What an attachment is called when it is shown and saved. Pure."""

from __future__ import annotations

import re
from mimetypes import MimeTypes

from mailbox.mime import charsets

MAX_FILENAME_BYTES = 255  # NAME_MAX of every common file system
_MAX_STATED = 1000  # characters looked at; behind them only the end, for the extension
_TAIL = 50

_EXTENSIONS = {
    "application/gzip": ".gz",
    "application/json": ".json",
    "application/msword": ".doc",
    "application/pdf": ".pdf",
    "application/pgp-encrypted": ".asc",
    "application/pgp-keys": ".asc",
    "application/pgp-signature": ".asc",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/rtf": ".rtf",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/x-pkcs7-mime": ".p7m",
    "application/x-pkcs7-signature": ".p7s",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/heic": ".heic",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/tiff": ".tif",
    "image/webp": ".webp",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "message/global": ".eml",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/rfc822-headers": ".txt",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "text/xml": ".xml",
    "video/mp4": ".mp4",
}
# Names by which other programs know these parts (RFC 8551 section 3.2.1; Outlook's TNEF).
_CUSTOMARY = {
    "application/ms-tnef": "winmail.dat",
    "application/vnd.ms-tnef": "winmail.dat",
    "application/pkcs7-mime": "smime.p7m",
    "application/x-pkcs7-mime": "smime.p7m",
    "application/pkcs7-signature": "smime.p7s",
    "application/x-pkcs7-signature": "smime.p7s",
    "application/pgp-signature": "signature.asc",
    "text/calendar": "invite.ics",
}
_KNOWN_TYPES = MimeTypes(filenames=())  # not the machine's list: a mail reads alike everywhere
# Control and format characters: the latter reverse a name ("cod.exe" shown as "exe.doc") or hide in it.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def safe_filename(stated: str, content_type: str, position: int) -> str:
    """A name for one folder of any system: no separators, no control characters, 1 to 255 bytes of UTF-8.

    `stated` is what the mail says, "" when nothing; `position` counts from 0 and tells nameless parts apart.
    """
    if len(stated) > _MAX_STATED:
        stated = stated[:_MAX_STATED] + stated[-_TAIL:]
    name = charsets.storable(_INVISIBLE.sub("", re.sub(r"[\r\n\t]+ *", " ", stated)))
    name = re.split(r"[/\\]", name)[-1].strip().rstrip(". ")  # Windows drops these, and shows another extension
    name = re.sub(r'[:*?"<>|]', "_", name) if name.strip(". ") else ""
    if not name:
        return _CUSTOMARY.get(content_type) or f"attachment-{position + 1}{_extension(content_type)}"
    return _shortened(name)


def _extension(content_type: str) -> str:
    known = _EXTENSIONS.get(content_type) or _KNOWN_TYPES.guess_extension(content_type)
    return known or (".txt" if content_type.startswith("text/") else ".bin")


def message_filename(subject: str, position: int) -> str:
    """What a forwarded message is called: its subject, with .eml."""
    subject = re.sub(r"[/\\]+", "-", subject).strip(" .")
    return safe_filename(f"{subject}.eml" if subject else "", "message/rfc822", position)


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_FILENAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 20:
        stem, dot, extension = name, "", ""
    room = MAX_FILENAME_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + dot + extension
