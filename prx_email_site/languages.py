"""The languages of the site: English, and those with a compiled catalogue. Used by the settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from django.conf.locale import LANG_INFO

SOURCE = "en"  # the language of the texts in the sources


def found_in(folders: Iterable[Path]) -> list[tuple[str, str]]:
    """(code, name in that language) of each language, English first. A catalogue is `<locale>/LC_MESSAGES/django.mo`.

    The folder's name is a locale ("pt_BR", "zh_Hans"); the code is as in Accept-Language ("pt-br", "zh-hans").
    """
    codes = {path.parent.parent.name.replace("_", "-").lower() for each in folders for path in _catalogues(each)}
    return [(code, _name(code)) for code in (SOURCE, *sorted(codes - {SOURCE}))]


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
