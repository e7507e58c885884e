"""URLs in a mail's HTML: which may be links, and the base of relative ones. Pure (RFC 3986)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

STRIPPED = re.compile("[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_LINK = re.compile(r"(?:https?://[^/\s]|mailto:[^\s])", re.I)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}:", re.I)
_BASE_WITHIN = 100_000  # characters
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_BASE_TAG = re.compile(
    r"""<base\s[^<>]{0,200}?\bhref\s*=\s*(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000}))""", re.I
)


def safe_link(address: str, base: str = "") -> str | None:
    """The http, https or mailto URL that this link leads to, or None when it leads to anything else.

    Spaces and control characters are removed, as browsers ignore them. Relative URLs are joined to `base`, where the
    mail states one.
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
    """The URL in <base href>, which relative URLs are joined to; "" where there is none of http or https."""
    tag = _BASE_TAG.search(_COMMENT.sub("", html[:_BASE_WITHIN]))
    address = STRIPPED.sub("", tag[1] or tag[2] or tag[3] or "") if tag else ""
    return address if address[:4].lower() == "http" and _LINK.match(address) else ""


def joined(base: str, address: str) -> str:
    """The URL relative to a base (RFC 3986, 5.2); "" when it is none."""
    try:
        return urljoin(base, address)
    except ValueError:  # e.g. an IPv6 address without its closing bracket
        return ""
