"""Mail with a private part, such as a link that signs its recipient in. The part is stored nowhere.

The row, the frozen mail, the copy in Sent and every page contain PLACE instead. For each attempt a maker, which another
app registers, makes the part from a key that is no secret. So the part is in no table, file, task or log, and it is
still fresh in a mail that waited for days.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from email import message_from_bytes
from email.policy import SMTP

from outbox.compose.text_parts import text_part

PLACE = "[ This link is in the mail that was sent, and nowhere else. ]"
_CONTENT_FIELD = re.compile(rb"^(?:content-|mime-version:)", re.I | re.M)

# (key, addresses of the envelope) -> the part. Raises NothingToSay. It may query the database.
Maker = Callable[[int, Sequence[str]], str]
MAKERS: dict[str, Maker] = {}


class NothingToSay(Exception):
    """The mail has become pointless, for instance as its user was deactivated. str() is a sentence for the outbox."""


def filled(frozen: bytes, part: str, recipients: Sequence[str]) -> tuple[bytes, Sequence[str]]:
    """The mail with its private part, and the secrets to remove from server replies. Raises NothingToSay.

    part: "maker:key"; "" means that the mail has none and is returned unchanged.
    """
    if not part:
        return frozen, ()
    name, _, key = part.partition(":")
    if name not in MAKERS:
        raise NothingToSay(f"This worker does not know how to make the link of this mail ({name}).")
    secret = MAKERS[name](int(key), recipients)
    text = message_from_bytes(frozen, policy=SMTP).get_content().replace("\r\n", "\n")
    header = frozen[: _CONTENT_FIELD.search(frozen).start()]  # type: ignore[union-attr]  # the outbox wrote it
    return header + text_part(text.replace(PLACE, secret)), (secret, secret.rstrip("/").rpartition("/")[2])
