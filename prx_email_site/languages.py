"""The languages of the site: English, and those with a compiled catalogue. Used by the settings."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from django.conf.locale import LANG_INFO

SOURCE = "en"  # the language of the texts in the sources
TRANSLATED = "X-Translated-Percent"  # in the head of a compiled catalogue that lacks texts


def found_in(folders: Iterable[Path]) -> list[tuple[str, str]]:
    """(code, name in that language) of each language, English first. A catalogue is `<locale>/LC_MESSAGES/django.mo`.

    The folder's name is a locale ("pt_BR", "zh_Hans"); the code is as in Accept-Language ("pt-br", "zh-hans"). The name
    of a language that is not complete says how far it is: "Deutsch (62 %)". A text is taken from the first folder that
    has it, so the first folder's catalogue is the one that is told of.
    """
    found: dict[str, str] = {}
    for path in (path for each in folders for path in _catalogues(each)):
        code = path.parent.parent.name.replace("_", "-").lower()
        found.setdefault(code, _name(code) + _progress(path))
    return [(SOURCE, _name(SOURCE)), *sorted((code, name) for code, name in found.items() if code != SOURCE)]


def _catalogues(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.glob("*/LC_MESSAGES/django.mo"))
    except OSError:  # an unreadable folder: the site runs in English
        return []


def _name(code: str) -> str:
    known = LANG_INFO.get(code, {})
    while "fallback" in known:
        known = LANG_INFO.get(known["fallback"][0], {})
    return str(known.get("name_local", code))


def _progress(compiled: Path) -> str:
    """What a name ends with where the catalogue lacks texts: " (62 %)"; else ""."""
    try:
        content = compiled.read_bytes()
        # The head is the translation of "", which sorts first (GNU gettext manual, "The Format of GNU MO Files").
        (table,) = struct.unpack_from("<I", content, 16)
        length, start = struct.unpack_from("<II", content, table)
        head = content[start : start + length].decode(errors="replace")
    except (OSError, struct.error):  # Django says what is wrong with it
        return ""
    percent = re.search(rf"^{TRANSLATED}: (\d+)", head, re.MULTILINE)
    return f" ({percent[1]} %)" if percent else ""
