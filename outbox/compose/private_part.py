"""A mail with a part that stands nowhere here: a link that signs somebody in is for its reader alone.

The row, its frozen mail, the copy in Sent and every page hold PLACE instead. What belongs there is made anew for each
attempt, by a maker that another app registers, out of a key that is worth nothing to whoever reads it. So it is in no
table, file, task or log, and a mail that waited for days goes out with a part that is as good as new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from email import message_from_bytes
from email.policy import SMTP

from outbox.compose.build import text_part

PLACE = "[ This link is in the mail that was sent, and nowhere else. ]"
_CONTENT_FIELD = re.compile(rb"^(?:content-|mime-version:)", re.I | re.M)

# (key, addresses of the envelope) -> the part. Raises NothingToSay. It may ask the database.
Maker = Callable[[int, Sequence[str]], str]
MAKERS: dict[str, Maker] = {}


class NothingToSay(Exception):
    """There is nothing to send any more, as when the person was switched off; a sentence for the outbox."""


def filled(frozen: bytes, part: str, recipients: Sequence[str]) -> tuple[bytes, Sequence[str]]:
    """The mail with its private part, and the secrets in it; as it is when it has none ("").

    `part` is "maker:key". Raises NothingToSay.
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
