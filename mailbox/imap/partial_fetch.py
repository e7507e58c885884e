"""Fetches a large message in pieces (BODY.PEEK[]<origin.count>, RFC 3501, 6.4.5), so that it is never whole in
memory."""

from __future__ import annotations

import re

from mailbox.errors import ProviderError
from mailbox.imap.session import ImapSession

_ORIGIN = re.compile(rb"BODY\[\](?:<(\d+)>)?", re.I)
_QUOTED = re.compile(rb'BODY\[\](?:<\d+>)? (?:NIL|"((?:[^"\\]|\\.)*)")', re.I)
_UID = re.compile(rb"(?:^|[ (])UID (\d+)", re.I)


def fetch_piece(session: ImapSession, uid: int, offset: int, length: int) -> bytes | None:
    """Fetch `length` bytes from `offset` on; fewer only at the end of the message. None when the message is gone.

    A server that cannot fetch parts answers with the whole message, which is returned if `offset` is 0. Raises
    ProviderError when the answer has another offset, and the errors of ImapSession's commands.
    """
    answer = session._fetch(str(uid), f"(UID BODY.PEEK[]<{offset}.{length}>)", length)
    said, before = b"", b""
    literal: bytes | None = None
    for item in answer:
        if isinstance(item, tuple):
            before += item[0]
            if _ORIGIN.search(item[0]):
                literal = item[1]
        elif isinstance(item, bytes):
            said = before + item
            stated = _UID.search(said)
            if stated and int(stated[1]) == uid and _ORIGIN.search(said):
                return _piece(said, literal, offset, length)
            before, literal = b"", None
    return None


def _piece(said: bytes, literal: bytes | None, offset: int, length: int) -> bytes:
    origin = _ORIGIN.search(said)
    stated = None if origin is None or origin[1] is None else int(origin[1])
    if (stated or 0) != offset:
        raise ProviderError("The server does not give messages in pieces, and this one is too large to fetch at once.")
    if literal is None:
        quoted = _QUOTED.search(said)
        literal = re.sub(rb"\\(.)", rb"\1", quoted[1] or b"") if quoted else b""
    return literal if stated is None else literal[:length]
