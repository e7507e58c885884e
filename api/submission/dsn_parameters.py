"""What a program asks of reports about its mail (DSN, RFC 3461): the parameters of MAIL and RCPT. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

Known: TypeAlias = Mapping[str, re.Pattern[str]]
_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"  # 4
_REPORTS = "(?:SUCCESS|FAILURE|DELAY)"
# 4.1 to 4.4: keywords know no case, what is xtext does.
OF_MAIL: Known = {
    "RET": re.compile("(?i:FULL|HDRS)"),
    "ENVID": re.compile(rf"(?=.{{1,100}}\Z){_XTEXT}+"),
}
OF_RCPT: Known = {
    "NOTIFY": re.compile(f"(?i:NEVER|{_REPORTS}(?:,{_REPORTS}){{0,2}})"),
    "ORCPT": re.compile(rf"(?=.{{1,500}}\Z)[A-Za-z0-9-]+;{_XTEXT}+"),
}
_PATH = re.compile(r'(?:FROM|TO):\s*<(?:"(?:[^"\\]|\\.)*+"|[^">])*+>(?=\s)', re.IGNORECASE)


def taken_out(said: str, known: Known) -> tuple[str, str]:
    """The argument of MAIL or RCPT without the known parameters, and these, in their order, with a blank between.

    Raises ValueError for one that is malformed or stands twice.
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
