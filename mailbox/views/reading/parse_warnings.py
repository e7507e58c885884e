"""The defects that the parser found in a message, as sentences for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext, gettext_noop

_BOUNDARIES = gettext_noop("The marks between its parts are damaged or cut off; what could be found is shown.")
_SENTENCES = {
    "AddressHeaderDefect": gettext_noop("An address in its header is malformed."),
    "InvalidHeaderDefect": gettext_noop("A field of its header has no name; the source shows it."),
    "AddressHeaderTooLong": gettext_noop(
        "A list of its addresses is too long to be taken apart; its beginning is shown as written."
    ),
    "BodyCut": gettext_noop("Its text is too long to be kept for reading in full; the source has all of it."),
    "CharsetDefect": gettext_noop("Its text is not in the charset that it names, so some letters may be wrong."),
    "CloseBoundaryNotFoundDefect": _BOUNDARIES,
    "DateHeaderDefect": gettext_noop("Its date cannot be read."),
    "BoundaryGuessedDefect": gettext_noop(
        "The boundary between its parts was missing or is another than it states; they are shown as found."
    ),
    "BoundaryOfParentDefect": gettext_noop("A group of its parts has the boundary of the group around it."),
    "EightBitHeaderDefect": gettext_noop(
        "Its header holds letters of no stated charset; they are read in that of its text, or as they look."
    ),
    "EmbeddedFileDefect": gettext_noop("A file was written into its text; it is listed as an attachment."),
    "EncodedMultipartDefect": gettext_noop("Its parts were encoded all together; they are shown decoded."),
    "HeaderTooLong": gettext_noop("A field of its header is too long to be read in full; the source has all of it."),
    "JunkInHeaderDefect": gettext_noop(
        "Lines in its header that are no header fields were skipped; the source shows them."
    ),
    "JunkBeforeHeaderDefect": gettext_noop("What stood above its header was skipped; the source shows it."),
    "LineEndDefect": gettext_noop("Its line ends were doubled; they are shown as single ones."),
    "MimeFieldDefect": gettext_noop("A field that describes one of its parts is malformed; it is read as meant."),
    "MissingHeaderBodySeparatorDefect": gettext_noop("The blank line between its header and its text is missing."),
    "MultipartInvariantViolationDefect": _BOUNDARIES,
    "MultipartWithoutPartsDefect": gettext_noop("It says that it has several parts and has none; it is shown as text."),
    "NestingTooDeep": gettext_noop("Its parts are nested too deep; what lies deeper is one attachment."),
    "NoBoundaryInMultipartDefect": _BOUNDARIES,
    "OtherLength": gettext_noop(
        "The server states another size for it than it gave, twice the same; its end may be missing."
    ),
    "PartsBehindCloseDefect": gettext_noop("Parts stand behind the end of its parts; they are shown as well."),
    "SplitHeaderDefect": gettext_noop("An empty line has cut its header in two; both halves are read."),
    "StartBoundaryNotFoundDefect": _BOUNDARIES,
    "TooManyHeaders": gettext_noop("Its header has more fields than are read; the source has all of them."),
    "TooManyParts": gettext_noop("It has more parts than are listed; the source has all of them."),
    "TooMuchHeader": gettext_noop(
        "The headers of its parts are too long to be read in full; names of attachments may be missing."
    ),
    "TransferEncodingDefect": gettext_noop("The encoding of a part is damaged; what could be decoded of it is here."),
    "WideMessageDefect": gettext_noop("All of it is UTF-16 or UTF-32, which no mail is sent in; it is read as meant."),
    "WinmailDefect": gettext_noop(
        "Its winmail.dat is damaged or cut off; the files that could be found in it are listed."
    ),
    "WinmailTooLarge": gettext_noop(
        "Its winmail.dat is too large to be opened here; download it to see the files in it."
    ),
}
_OTHER = gettext_noop("Its format is damaged in a way that does not matter for reading it (%(defect)s).")


_SIGNER = "SignerNotVerified:"


def sentences(defects: Iterable[str]) -> list[str]:
    """One sentence for each kind of defect, in the parser's order."""
    said = (
        gettext(_SENTENCES[defect]) if defect in _SENTENCES else gettext(_OTHER) % {"defect": defect}
        for defect in defects
        if not defect.startswith(_SIGNER)
    )
    return list(dict.fromkeys(said))


def signatures(defects: Iterable[str]) -> list[str]:
    """The signers that a signed message names, each with the note that the signature was not verified."""
    names = [defect.removeprefix(_SIGNER) for defect in defects if defect.startswith(_SIGNER)]
    return [
        gettext("Signed (S/MIME), as it states by %(name)s. The signature was not verified.") % {"name": name}
        if name
        else gettext("Signed (S/MIME) by somebody it does not name. The signature was not verified.")
        for name in names
    ]
