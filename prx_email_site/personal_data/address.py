"""Finds an address in texts, never as a part of a longer one, and replaces it. Pure except for the key from settings.

An address always gets the same placeholder, so that related texts stay related. It is a keyed digest: without the
installation's key the address cannot be found from it, not even by trying addresses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from functools import lru_cache
from itertools import chain
from typing import Any
from urllib.parse import quote

from django.conf import settings

from mailbox.mime.addresses import same, spellings
from outbox.smtp.dsn import xtext

_PURPOSE = b"prx-email: erased addresses"
# Before the address: no character of a longer one (RFC 5322 atext or a dot), but an escape such as "%3D" is allowed.
_BEFORE = r"(?:(?<=%[0-9A-Fa-f]{2})|(?<![\w!#$%&*+/?^`{|}~.-]))"
_AFTER = r"(?![\w-]|\.\w)"


@lru_cache(maxsize=64)
def pattern(address: str) -> re.Pattern[str]:
    """The pattern of an address in a text. `=` or `'` may precede it."""
    any_way = "|".join(sorted(map(re.escape, ways(address)), key=len, reverse=True))
    return re.compile(f"{_BEFORE}(?:{any_way}){_AFTER}", re.IGNORECASE)


def ways(address: str) -> list[str]:
    """How an address may be written: its domain in Unicode or in ASCII, and each of them also URL-encoded as in a
    link's query, or as xtext as in what was said to servers (RFC 3461)."""
    cases = [case for each in spellings(address) for case in _cases(each)]
    ways = [(each, quote(each, safe=""), quote(each), xtext(each).lower()) for each in cases]
    return list(dict.fromkeys(chain.from_iterable(ways)))


def _cases(address: str) -> tuple[str, ...]:
    """Letters beyond ASCII in small, capital and initial capitals: their encoded forms (`%C3%BC`, `%C3%9C`) are
    different texts, whose case nobody can ignore."""
    return (address,) if address.isascii() else (address, address.upper(), address.capitalize())


def normal(given: str) -> str:
    """The address in the form that is searched for (trimmed, lower case); "" if it is no address."""
    address = given.strip().lower()
    local, at, domain = address.rpartition("@")
    is_one = bool(at and local and domain) and len(address) <= 320 and "@" not in local
    return address if is_one and not any(char.isspace() or char in '<>,"\0' for char in address) else ""


def digest(address: str) -> str:
    """The keyed digest (16 hex digits) by which the activity and the report name the person: one for all spellings."""
    key = hmac.digest(base64.urlsafe_b64decode(settings.ENCRYPTION_KEYS[0]), _PURPOSE, hashlib.sha256)
    return hmac.new(key, same(address).encode(), hashlib.sha256).hexdigest()[:16]


def placeholder(address: str) -> str:
    """The address that replaces an erased one: in the domain `.invalid`, which gets no mail (RFC 2606 2)."""
    return f"{digest(address)}@erased.invalid"


def stands_in(address: str, value: Any) -> bool:
    """Whether a text, or any text in a JSON value, contains the address."""
    if isinstance(value, str):
        return bool(pattern(address).search(value))
    if isinstance(value, dict):
        return any(stands_in(address, each) for pair in value.items() for each in pair)
    return isinstance(value, list) and any(stands_in(address, each) for each in value)


def without(address: str, value: Any, instead: str) -> Any:
    """The text or JSON value with each occurrence of the address replaced by `instead`."""
    if isinstance(value, str):
        return pattern(address).sub(instead, value)
    if isinstance(value, dict):
        return {without(address, name, instead): without(address, each, instead) for name, each in value.items()}
    return [without(address, each, instead) for each in value] if isinstance(value, list) else value
