"""Parses the DSN parameters (RFC 3461) of MAIL and RCPT that a program submits. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

Known: TypeAlias = Mapping[str, re.Pattern[str]]
_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"  # 4
_REPORTS = "(?:SUCCESS|FAILURE|DELAY)"
# RFC 3461, 4.1 to 4.4: keywords are compared without case, xtext is not.
OF_MAIL: Known = {
    "RET": re.compile("(?i:FULL|HDRS)"),
    "ENVID": re.compile(rf"(?=.{{1,100}}\Z){_XTEXT}+"),
}
OF_RCPT: Known = {
    "NOTIFY": re.compile(f"(?i:NEVER|{_REPORTS}(?:,{_REPORTS}){{0,2}})"),
    "ORCPT": re.compile(rf"(?=.{{1,500}}\Z)[A-Za-z0-9-]+;{_XTEXT}+"),
}
_PATH = re.compile(r'(?:FROM|TO):\s*<(?:"(?:[^"\\]|\\.|(?!))*+"|[^">]|(?!))*+>(?=\s)', re.IGNORECASE)


def taken_out(said: str, known: Known) -> tuple[str, str]:
    """(the argument of MAIL or RCPT without the known parameters, these parameters in order, separated by spaces).

    Raises ValueError for a malformed or repeated parameter.
    """
    path = _PATH.match(said)
    if path is None:
        return said, ""
    found: dict[str, str] = {}
    others = []
    for word in said[path.end() :].split():
        name, _, value = word.partition("=")
        name = name.upper()
        if name not in known:
            others.append(word)
        elif name in found or not known[name].fullmatch(value):
            raise ValueError(f"{name} is malformed, or stands twice")
        else:
            found[name] = value if name in ("ENVID", "ORCPT") else value.upper()
    return " ".join([path[0], *others]), " ".join(f"{name}={value}" for name, value in found.items())
