"""Which languages there are: English, and those that a compiled catalogue lies there for. Read by the settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from django.conf.locale import LANG_INFO

SOURCE = "en"  # what the texts are written in


def found_in(folders: Iterable[Path]) -> list[tuple[str, str]]:
    """(code, its name in its own language), English first. A catalogue is `<locale>/LC_MESSAGES/django.mo`.

    A folder's name is a locale ("pt_BR", "zh_Hans"); the code is as browsers say it ("pt-br", "zh-hans").
    """
    codes = {path.parent.parent.name.replace("_", "-").lower() for each in folders for path in _catalogues(each)}
    return [(code, _name(code)) for code in (SOURCE, *sorted(codes - {SOURCE}))]


def _catalogues(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.glob("*/LC_MESSAGES/django.mo"))
    except OSError:  # a folder that may not be read: the site runs, in English
        return []


def _name(code: str) -> str:
    known = LANG_INFO.get(code, {})
    while "fallback" in known:
        known = LANG_INFO.get(known["fallback"][0], {})
    return str(known.get("name_local", code))
