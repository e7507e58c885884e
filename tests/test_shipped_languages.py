"""The languages that are shipped: complete enough, nothing broken in them, and compiled without tools of gettext."""

from __future__ import annotations

from pathlib import Path

import polib
import pytest
from django.test import Client
from django.urls import reverse

from prx_email_site import catalogues, languages
from tests.pseudo_locale import ROOT

SHIPPED = catalogues.written_in([ROOT / "locale"])
MISSING_AT_MOST = 0.10  # a new sentence of the sources is no failure; a language that is left behind is
pytestmark = [pytest.mark.pages]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.parent.name)
def test_a_shipped_language_has_no_broken_text_and_few_missing_ones(path: Path) -> None:
    found = catalogues.progress(path)
    assert found.faults == ()
    assert found.total - found.translated <= MISSING_AT_MOST * found.total, str(found)


@pytest.mark.django_db
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.parent.name)
def test_a_browser_that_asks_for_a_shipped_language_is_answered_in_it(path: Path, client: Client) -> None:
    code = path.parent.parent.name.replace("_", "-").lower()
    page = client.get(reverse("login"), HTTP_ACCEPT_LANGUAGE=code)
    assert page.headers["Content-Language"] == code
    said = {entry.msgid: entry.msgstr for entry in polib.pofile(str(path))}["Sign in"]
    assert said
    assert said in page.content.decode()


PLURALS = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": "nplurals=2; plural=(n != 1);"}


def written(folder: Path, *entries: polib.POEntry) -> Path:
    catalogue = polib.POFile()
    catalogue.metadata = PLURALS
    catalogue.extend(entries)
    path = folder / "de" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True)
    catalogue.save(str(path))
    return path


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (polib.POEntry(msgid="%(name)s of {most}", msgstr="%(name)s von {viel}"), "lost {most}"),
        (polib.POEntry(msgid="Sent", msgstr="%(name)s gesendet"), "which the source has not"),
        (polib.POEntry(msgid="<b>Sent</b>", msgstr="<b>Gesendet"), "other tags"),
        (polib.POEntry(msgid="Sent ", msgstr="Gesendet"), "blanks"),
        (polib.POEntry(msgid="Sent", msgstr="Gesendet", flags=["fuzzy"]), "fuzzy"),
        (polib.POEntry(msgid="one", msgid_plural="many", msgstr_plural={0: "ein", 1: ""}), "plural"),
        (polib.POEntry(msgid="a", msgid_plural="%(number)s", msgstr_plural={0: "x", 1: "y"}), "lost %(number)s"),
    ],
)
def test_a_broken_text_is_told(tmp_path: Path, entry: polib.POEntry, fault: str) -> None:
    found = catalogues.progress(written(tmp_path, entry))
    assert len(found.faults) == 1
    assert fault in found.faults[0]


def test_one_may_be_said_without_its_number_and_what_is_missing_is_only_counted(tmp_path: Path) -> None:
    one = polib.POEntry(
        msgid="%(number)s mail", msgid_plural="%(number)s mails", msgstr_plural={0: "eine Mail", 1: "%(number)s Mails"}
    )
    found = catalogues.progress(written(tmp_path, one, polib.POEntry(msgid="Sent", msgstr="")))
    assert (found.faults, found.translated, found.total) == ((), 1, 2)
    assert str(found) == "de: 1 of 2 texts translated, 1 missing"


def test_a_catalogue_is_compiled_once_and_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, polib.POEntry(msgid="Sent", msgstr="Gesendet"))
    assert list(catalogues.compile_new([tmp_path])) == []
    assert [code for code, _name in languages.found_in([tmp_path])] == ["en", "de"]
    compiled = path.with_suffix(".mo")
    before = compiled.stat().st_mtime_ns
    assert list(catalogues.compile_new([tmp_path])) == []
    assert compiled.stat().st_mtime_ns == before
    compiled.unlink()
    path.write_text("no entry\n", encoding="utf-8")
    (told,) = catalogues.compile_new([tmp_path])
    assert str(path) in told
    assert not compiled.exists()
