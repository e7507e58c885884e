"""An address within texts: found whole, never as a part of a longer one, and put out of them. Pure but for the key.

What takes its place is the same each time, so that what belonged together still does; nobody can tell the address from
it without the installation's key, not even by trying addresses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from django.conf import settings

_PURPOSE = b"prx-email: erased addresses"
# Characters of an address (RFC 5322 atext and the dot), which may stand beside a shorter one. "%40" as in queries.
_BEFORE = r"(?:(?<=%[0-9A-Fa-f]{2})|(?<![\w!#$%&*+/?^`{|}~.-]))"
_AFTER = r"(?![\w-]|\.\w)"


@lru_cache(maxsize=64)
def pattern(address: str) -> re.Pattern[str]:
    """Of the address as written in a text, or encoded in the query of a link. `=` and `'` may stand before it."""
    ways = {re.escape(each) for each in (address, quote(address, safe=""), quote(address))}
    any_way = "|".join(sorted(ways, key=len, reverse=True))
    return re.compile(f"{_BEFORE}(?:{any_way}){_AFTER}", re.IGNORECASE)


def normal(given: str) -> str:
    """As it is looked for; "" for what is none."""
    address = given.strip().lower()
    local, at, domain = address.rpartition("@")
    is_one = bool(at and local and domain) and len(address) <= 320 and "@" not in local
    return address if is_one and not any(char.isspace() or char in '<>,"\0' for char in address) else ""


def digest(address: str) -> str:
    """What the activity and the report call the person."""
    key = hmac.digest(base64.urlsafe_b64decode(settings.ENCRYPTION_KEYS[0]), _PURPOSE, hashlib.sha256)
    return hmac.new(key, address.encode(), hashlib.sha256).hexdigest()[:16]


def placeholder(address: str) -> str:
    """An address that no mail reaches (RFC 2606, 2) and that tells nothing."""
    return f"{digest(address)}@erased.invalid"


def stands_in(address: str, value: Any) -> bool:
    """Whether it is anywhere within a text, or in the texts of what JSON holds."""
    if isinstance(value, str):
        return bool(pattern(address).search(value))
    if isinstance(value, dict):
        return any(stands_in(address, each) for pair in value.items() for each in pair)
    return isinstance(value, list) and any(stands_in(address, each) for each in value)


def without(address: str, value: Any, instead: str) -> Any:
    """The same value with `instead` at each of its places."""
    if isinstance(value, str):
        return pattern(address).sub(instead, value)
    if isinstance(value, dict):
        return {without(address, name, instead): without(address, each, instead) for name, each in value.items()}
    return [without(address, each, instead) for each in value] if isinstance(value, list) else value
