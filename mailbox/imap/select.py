"""EXAMINE with CONDSTORE or QRESYNC (RFC 7162), which reports the changes since a known state.

imapclient supports neither and drops VANISHED, so both use its inner imaplib object (`client._imap`).
"""

from __future__ import annotations

import imaplib
import re
from dataclasses import dataclass
from typing import Any

from mailbox.imap.fetch import MAX_NUMBER, MAX_UID, Changes, FolderStatus, flags_and_labels_of, rows, text

_VANISHED = re.compile(rb"\(EARLIER\) ([\d:,]+)", re.I)
_NUMBERS = ("EXISTS", "RECENT", "UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ")
_NUMBER = re.compile(rb"[\s\"]*+(\d+)[\s\"]*+")
_MAILBOX_ID = re.compile(rb"\(?([A-Za-z0-9_-]{1,255})\)?")


@dataclass(frozen=True)
class KnownFolder:
    """The stored state of a folder: UIDs low..high as they were at mod-sequence `modseq`."""

    uidvalidity: int
    modseq: int
    low: int
    high: int


def enable_qresync(client: Any) -> str | None:
    """Queue ENABLE QRESYNC (RFC 5161), to be sent in one packet with the next command and so in one round trip.

    Returns the command's tag; None when the server does not offer it.
    """
    if not (client.has_capability("QRESYNC") and client.has_capability("ENABLE")):
        return None
    with client._imap.corked():
        tag: str = client._imap._command("ENABLE", "QRESYNC")
    return tag


def examine(client: Any, folder: str, parameter: str, enabling: str | None) -> dict[bytes, Any]:
    """Send EXAMINE and return its untagged responses, parsed by imapclient.

    parameter: such as "(CONDSTORE)", or "". enabling: tag of an ENABLE whose answer has not been read yet.
    Raises the errors of imaplib and imapclient; then no folder is open.
    """
    beneath = client._imap
    beneath.untagged_responses = {}
    beneath.is_readonly = True
    tag = beneath._command("EXAMINE", client._normalise_folder(folder), *([parameter] if parameter else []))
    if enabling is not None:
        beneath._get_tagged_response(enabling)  # a refusal may be ignored: where it matters, EXAMINE is refused too
    status, lines = beneath._command_complete("EXAMINE", tag)
    if status != "OK":
        beneath.state = "AUTH"
        client._checkok("examine", status, lines)
    beneath.state = "SELECTED"
    answer = dict(client._process_select_response(_with_true_numbers(beneath.untagged_responses)))
    beneath.untagged_responses = {}
    return answer


def _with_true_numbers(untagged: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Keep the last value of each numeric response, and drop values that are no number, as in HIGHESTMODSEQ NIL.

    imapclient would take the first value and convert it to a number unchecked.
    """
    found: dict[str, list[Any]] = {}
    for key, values in untagged.items():
        if key.upper() not in _NUMBERS:
            found[key] = values
        elif values and (number := _NUMBER.fullmatch(values[-1] or b"")):
            found[key] = [number[1]]
    return found


def refuses_parameter(error: BaseException) -> bool:
    """Whether EXAMINE was refused for its parameter: BAD, or a NO that names it. A missing folder is also a NO."""
    return bool(re.search(r"error: BAD|CONDSTORE|parameter|syntax", str(error), re.I)) and not isinstance(
        error, imaplib.IMAP4.abort
    )


def parameter_for(client: Any, known: KnownFolder | None, *, with_qresync: bool) -> str:
    """The parameter for EXAMINE; "" for a server without mod-sequences."""
    if with_qresync and known is not None:
        return f"(QRESYNC ({known.uidvalidity} {known.modseq} {known.low}:{known.high}))"
    # Dovecot states HIGHESTMODSEQ only to a client that sent CONDSTORE (RFC 7162, 3.1.8).
    return "(CONDSTORE)" if client.has_capability("CONDSTORE") else ""


def status_of(answer: dict[bytes, Any], known: KnownFolder | None) -> FolderStatus:
    """Build the status from the answer to EXAMINE.

    known: the state that was sent with QRESYNC, else None. After a change of UIDVALIDITY its changes are ignored.
    """
    uidvalidity, modseq = answer[b"UIDVALIDITY"], _bounded(answer.get(b"HIGHESTMODSEQ"), MAX_NUMBER)
    changes = None
    if known is not None and known.uidvalidity == uidvalidity and modseq:
        changes = Changes(_changed(answer, known), _vanished(answer))
    found = _MAILBOX_ID.match((answer.get(b"MAILBOXID") or [b""])[0] or b"")
    return FolderStatus(
        uidvalidity=uidvalidity,
        uidnext=_bounded(answer.get(b"UIDNEXT"), MAX_UID + 1),
        exists=min(answer.get(b"EXISTS") or 0, MAX_UID),  # a number that cannot be is no "nothing here"
        highestmodseq=modseq,
        mailbox_id=text(found[1]) if found else "",
        changes=changes,
    )


def _bounded(number: int | None, most: int) -> int | None:
    """The number, or None above `most`: servers have stated 2^63 and more, which a BIGINT column cannot store."""
    return None if number is None or number > most else number


def _changed(answer: dict[bytes, Any], known: KnownFolder) -> dict[int, Any]:
    found = rows(answer.get(b"FETCH") or [])
    return {
        uid: flags
        for uid, row in found.items()
        if known.low <= uid <= known.high and (flags := flags_and_labels_of(row)) is not None
    }


def _vanished(answer: dict[bytes, Any]) -> tuple[tuple[int, int], ...]:
    """The ranges of VANISHED (EARLIER), not expanded: one range may span all possible UIDs."""
    ranges = []
    for line in answer.get(b"VANISHED") or []:
        found = _VANISHED.match(line) if isinstance(line, bytes) else None
        for part in found[1].split(b",") if found else ():
            ends = [int(end) for end in part.split(b":") if end]
            if ends:
                ranges.append((min(ends), max(ends)))
    return tuple(ranges)
