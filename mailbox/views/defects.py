"""What was odd about a message when it was read, in sentences for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterable

_BOUNDARIES = "The marks between its parts are damaged or cut off; what could be found is shown."
_SENTENCES = {
    "AddressHeaderDefect": "An address in its header is malformed.",
    "InvalidHeaderDefect": "A field of its header has no name; the source shows it.",
    "AddressHeaderTooLong": "A list of its addresses is too long to be taken apart; its beginning is shown as written.",
    "BodyCut": "Its text is too long to be kept for reading in full; the source has all of it.",
    "CharsetDefect": "Its text is not in the charset that it names, so some letters may be wrong.",
    "CloseBoundaryNotFoundDefect": _BOUNDARIES,
    "DateHeaderDefect": "Its date cannot be read.",
    "HeaderTooLong": "A field of its header is too long to be read in full; the source has all of it.",
    "JunkInHeaderDefect": "Lines in its header that are no header fields were skipped; the source shows them.",
    "MissingHeaderBodySeparatorDefect": "The blank line between its header and its text is missing.",
    "MultipartInvariantViolationDefect": _BOUNDARIES,
    "NestingTooDeep": "Its parts are nested too deep; what lies deeper is one attachment.",
    "NoBoundaryInMultipartDefect": _BOUNDARIES,
    "StartBoundaryNotFoundDefect": _BOUNDARIES,
    "TooManyHeaders": "Its header has more fields than are read; the source has all of them.",
    "TooManyParts": "It has more parts than are listed; the source has all of them.",
    "TooMuchHeader": "The headers of its parts are too long to be read in full; names of attachments may be missing.",
    "TransferEncodingDefect": "The encoding of a part is damaged; what could be decoded of it is here.",
    "WinmailDefect": "Its winmail.dat is damaged or cut off; the files that could be found in it are listed.",
    "WinmailTooLarge": "Its winmail.dat is too large to be opened here; download it to see the files in it.",
}
_OTHER = "Its format is damaged in a way that does not matter for reading it"


def sentences(defects: Iterable[str]) -> list[str]:
    """One sentence for each kind of defect that mime.parse named, in its order."""
    return list(dict.fromkeys(_SENTENCES.get(defect, f"{_OTHER} ({defect}).") for defect in defects))
