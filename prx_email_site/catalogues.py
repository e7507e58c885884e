"""Compiles and checks the catalogues (GNU gettext manual, "The Format of PO Files") without gettext's tools.

It is used before the settings are read, which look for compiled catalogues, so it needs none. As a program it compiles
those of the folders that it is given.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polib

from prx_email_site.languages import SOURCE, TRANSLATED

TEXTS = Path(__file__).resolve().parents[1] / "locale" / SOURCE / "LC_MESSAGES" / "django.po"
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w*\}")
_TAG = re.compile(r"<[^<>]+>")


Key = tuple[str, str, str]  # (context, text, plural)


@dataclass(frozen=True)
class TranslationProgress:
    """The progress of a language. `faults`: sentences about translations that would break a page."""

    language: str
    total: int
    missing: tuple[Key, ...]
    faults: tuple[str, ...]

    @property
    def translated(self) -> int:
        return self.total - len(self.missing)

    @property
    def percent(self) -> int:
        """Rounded down, so that only what is complete is 100."""
        return 100 * self.translated // self.total

    def __str__(self) -> str:
        return f"{self.language}: {self.translated} of {self.total} texts translated, {len(self.missing)} missing"


def written_in(folders: Iterable[Path]) -> list[Path]:
    """The .po files of all languages except the source language."""
    found = (path for each in folders for path in each.glob("*/LC_MESSAGES/django.po"))
    return sorted(path for path in found if path.parent.parent.name != SOURCE)


def compile_new(folders: Iterable[Path], texts: Path = TEXTS) -> Iterator[str]:
    """Write django.mo beside each django.po, where it or the sources' catalogue is newer; yields a sentence for each
    that cannot be compiled.

    The file is renamed into place, as several processes may compile concurrently while others read.
    """
    asked = None
    for path in written_in(folders):
        target = path.with_suffix(".mo")
        try:
            if target.exists() and target.stat().st_mtime >= max(path.stat().st_mtime, texts.stat().st_mtime):
                continue
            part = target.with_suffix(f".{os.getpid()}.part")
            catalogue = polib.pofile(str(path))
            asked = asked or _keys(polib.pofile(str(texts)))
            found = _progress_of(catalogue, path, asked)
            if found.missing:
                catalogue.metadata[TRANSLATED] = str(found.percent)
            catalogue.save_as_mofile(str(part))
            part.replace(target)
        except (OSError, ValueError) as error:  # polib raises OSError for a syntax error
            yield f"The catalogue {path} cannot be compiled: {error}"


def _keys(entries: Iterable[polib.POEntry]) -> frozenset[Key]:
    return frozenset((each.msgctxt or "", each.msgid, each.msgid_plural or "") for each in entries)


def progress(path: Path, texts: Path = TEXTS) -> TranslationProgress:
    """The progress of the language whose catalogue (.po) this is, in all texts of the sources' catalogue: one that the
    language's own has no entry for is missing, too."""
    return _progress_of(polib.pofile(str(path)), path, _keys(polib.pofile(str(texts))))


def _progress_of(catalogue: polib.POFile, path: Path, asked: frozenset[Key]) -> TranslationProgress:
    entries = [each for each in catalogue if not each.obsolete]
    forms = re.search(r"nplurals\s*=\s*(\d+)", catalogue.metadata.get("Plural-Forms", ""))
    count = int(forms[1]) if forms else 0
    faults = tuple(f"“{each.msgid}” {fault}" for each in entries if (fault := _fault(each, count)))
    missing = asked - _keys(filter(_is_translated, entries))
    return TranslationProgress(path.parent.parent.name, len(asked), tuple(sorted(missing)), faults)


def _is_translated(entry: polib.POEntry) -> bool:
    return not entry.fuzzy and any((entry.msgstr, *entry.msgstr_plural.values()))


def _fault(entry: polib.POEntry, plural_forms: int) -> str:
    """What is wrong with a translation, or "". A missing translation is no fault."""
    if entry.fuzzy:
        return "is marked as fuzzy"
    if not _is_translated(entry):
        return ""
    if not entry.msgid_plural:
        return _difference(entry.msgid, entry.msgstr, _placeholders(entry.msgid))
    texts = [entry.msgstr_plural[index] for index in sorted(entry.msgstr_plural)]
    if len(texts) != plural_forms or not all(texts):
        return f"has not {plural_forms} plural forms"
    # A form for a single number ("one mail", "two mails") may omit the number; the last form is never such a one.
    needed = _placeholders(entry.msgid_plural)
    least = needed - {"%(number)s", "%(formatted)s"} if plural_forms > 1 else needed
    found = [_difference(entry.msgid_plural, text, least) for text in texts[:-1]]
    return next(filter(None, [*found, _difference(entry.msgid_plural, texts[-1], needed)]), "")


def _difference(source: str, text: str, needed: set[str]) -> str:
    given = _placeholders(text)
    if lost := needed - given:
        return f"has lost {', '.join(sorted(lost))}"
    if more := given - _placeholders(source):
        return f"has {', '.join(sorted(more))}, which the source has not"
    if sorted(_TAG.findall(source)) != sorted(_TAG.findall(text)):
        return "has other tags than the source"
    if _blanks(source) != _blanks(text):
        return "begins or ends with other blanks or line breaks than the source"
    return ""


def _placeholders(text: str) -> set[str]:
    return set(_PLACEHOLDER.findall(text))


def _blanks(text: str) -> tuple[str, str]:
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


if __name__ == "__main__":
    sys.exit("\n".join(compile_new(map(Path, sys.argv[1:]))) or None)
