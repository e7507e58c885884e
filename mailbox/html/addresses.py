"""Addresses in a mail's HTML: what may be a link, and what relative ones stand on. Pure (RFC 3986)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

STRIPPED = re.compile("[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_LINK = re.compile(r"(?:https?://[^/\s]|mailto:[^\s])", re.I)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}:", re.I)
_BASE_WITHIN = 100_000  # characters
_BASE_TAG = re.compile(
    r"""<base\s[^<>]{0,200}?\bhref\s*=\s*(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000}))""", re.I
)


def safe_link(address: str, base: str = "") -> str | None:
    """A web or mail address, without the spaces and control characters that browsers skip when they read it.

    Relative ones by `base`, where the mail states one.
    """
    plain = STRIPPED.sub("", address[:4096])
    if plain.startswith("//"):
        plain = f"https:{plain}"
    elif plain[:4].lower() == "www.":
        plain = f"https://{plain}"
    elif base and plain and plain[0] != "#" and not SCHEME.match(plain):
        plain = joined(base, plain)
    return plain if _LINK.match(plain) else None


def base_address(html: str) -> str:
    """What <base href> says relative addresses stand on, where that is a web address."""
    tag = _BASE_TAG.search(html[:_BASE_WITHIN])
    address = STRIPPED.sub("", tag[1] or tag[2] or tag[3] or "") if tag else ""
    return address if address[:4].lower() == "http" and _LINK.match(address) else ""


def joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:  # half of an IPv6 address
        return ""
