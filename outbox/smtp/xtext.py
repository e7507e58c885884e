"""xtext (RFC 3461, 4): the encoding of values in parameters of MAIL and RCPT. Pure."""

from __future__ import annotations

import re


def xtext(text: str) -> str:
    """The text encoded: printable ASCII except "+" and "=" as it is, all else as "+" and two hexadecimal digits."""
    return "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text)


def from_xtext(text: str) -> str:
    """The decoded text; a "+" without two upper-case hexadecimal digits stays as it is."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)
