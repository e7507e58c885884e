"""The file names under which attachments are displayed and saved. Pure."""

from __future__ import annotations

import re
import unicodedata
from mimetypes import MimeTypes

from mailbox.mime import charsets

MAX_FILENAME_BYTES = 255  # NAME_MAX of every common file system
_MAX_STATED = 1000  # characters that are read of a longer name, besides its last _TAIL with the extension
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
    "message/external-body": ".txt",
    "message/feedback-report": ".txt",
    "message/global": ".eml",
    "message/global-delivery-status": ".txt",
    "message/global-disposition-notification": ".txt",
    "message/global-headers": ".txt",
    "message/partial": ".txt",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/rfc822-headers": ".txt",
    "text/rtf": ".rtf",
    "text/vcard": ".vcf",
    "text/x-vcalendar": ".vcs",
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
_KNOWN_TYPES = MimeTypes(filenames=())  # without the machine's list, so that names are the same on every machine
# Fillers that are displayed as nothing. With the control and format characters, which safe_filename() removes too, they
# hide or turn around what a name ends in ("cod.exe" as "exe.doc").
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_GAP = re.compile(r"\s{2,}")  # pushes the extension out of sight
# Names of Windows' devices, also with an extension: there such a file cannot be saved, or is not a file.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\.|\Z)", re.I)


def safe_filename(stated: str, content_type: str, position: int) -> str:
    """A file name that is valid on any system: no separators, no control characters, 1 to 255 bytes of UTF-8.

    stated: the name in the mail, "" for none. position: index of the attachment, used in the name of a part without
    one.
    """
    if len(stated) > _MAX_STATED:
        stated = stated[:_MAX_STATED] + stated[-_TAIL:]
    name = charsets.storable(_visible(re.sub(r"[\r\n\t]+ *", " ", stated)))
    # Windows drops dots and spaces at the end, so the extension would be another.
    name = re.split(r"[/\\]", name)[-1].strip().rstrip(". ")
    name = re.sub(r'[:*?"<>|]', "_", name) if name.strip(". ") else ""
    if not name:
        return _CUSTOMARY.get(content_type) or f"attachment-{position + 1}{_extension(content_type)}"
    return _shortened(f"_{name}" if _DEVICE.match(name) else name)


def _visible(name: str) -> str:
    """The name without characters that are displayed as nothing, and without long gaps."""
    if not (name.isascii() and name.isprintable()):
        name = "".join(
            each for each in name if unicodedata.category(each) not in ("Cc", "Cf", "Zl", "Zp") and each not in _BLANK
        )
    return _GAP.sub(" ", name)


def _extension(content_type: str) -> str:
    known = _EXTENSIONS.get(content_type) or _KNOWN_TYPES.guess_extension(content_type)
    return known or (".txt" if content_type.startswith("text/") else ".bin")


def message_filename(subject: str, position: int) -> str:
    """The file name of an attached message: its subject with .eml."""
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
