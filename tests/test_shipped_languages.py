"""The languages that are shipped: complete, nothing broken in them, and compiled without tools of gettext."""

from __future__ import annotations

from pathlib import Path

import django
import polib
import pytest
from django.test import Client
from django.urls import reverse

from prx_email_site import catalogues, languages
from tests.pseudo_locale import ROOT

SHIPPED = ("ar", "ja", "ko", "zh_Hans")  # as the README promises them; a language that is begun is none of them
BEGUN = [path for path in catalogues.written_in([ROOT / "locale"]) if path.parent.parent.name not in SHIPPED]
pytestmark = [pytest.mark.pages]


def catalogue_of(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


@pytest.mark.parametrize("language", SHIPPED)
def test_a_shipped_language_lacks_no_text_and_none_is_broken(language: str) -> None:
    found = catalogues.progress(catalogue_of(language))
    assert (found.missing, found.faults) == ((), ()), "type: make messages, and translate"


@pytest.mark.parametrize("language", SHIPPED)
def test_a_shipped_language_has_the_plural_forms_that_django_knows_of_it(language: str) -> None:
    django_own = Path(django.__file__).parent / "conf/locale" / language / "LC_MESSAGES/django.po"
    said = {polib.pofile(str(path)).metadata["Plural-Forms"] for path in (catalogue_of(language), django_own)}
    assert len(said) == 1


def test_a_language_that_was_begun_has_nothing_broken_and_is_none_of_the_shipped_before_it_is_complete() -> None:
    for path in BEGUN:
        found = catalogues.progress(path)
        assert found.faults == ()
        assert found.missing, f"{path} is complete: name it in SHIPPED, in the README and in docs/translating.md"


@pytest.mark.django_db
@pytest.mark.parametrize("language", SHIPPED)
def test_a_browser_that_asks_for_a_shipped_language_is_answered_in_it(language: str, client: Client) -> None:
    code = language.replace("_", "-").lower()
    page = client.get(reverse("login"), HTTP_ACCEPT_LANGUAGE=code)
    assert page.headers["Content-Language"] == code
    said = {entry.msgid: entry.msgstr for entry in polib.pofile(str(catalogue_of(language)))}["Sign in"]
    assert said
    assert said in page.content.decode()


PLURALS = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": "nplurals=2; plural=(n != 1);"}


def written(folder: Path, *entries: polib.POEntry, language: str = "de") -> Path:
    catalogue = polib.POFile()
    catalogue.metadata = dict(PLURALS)
    catalogue.extend(entries)
    path = folder / language / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True, exist_ok=True)
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
    sent, new = polib.POEntry(msgid="Sent", msgstr=""), polib.POEntry(msgid="new", msgctxt="alert")
    texts = written(tmp_path, one, sent, new, language="en")
    found = catalogues.progress(written(tmp_path, one, sent), texts)
    assert (found.faults, found.total) == ((), 3)
    assert found.missing == (("", "Sent", ""), ("alert", "new", ""))  # the second is not even in the file
    assert str(found) == "de: 1 of 3 texts translated, 2 missing"


def test_a_language_that_is_not_complete_says_so_where_it_is_offered(tmp_path: Path) -> None:
    done = [polib.POEntry(msgid=each, msgstr=each.upper()) for each in ("a", "b", "c")]
    texts = written(tmp_path, *done, language="en")
    own = written(tmp_path / "own", *done)
    begun = written(tmp_path, *done[:2], polib.POEntry(msgid="c", msgstr="C", flags=["fuzzy"]))
    assert list(catalogues.compile_new([tmp_path, tmp_path / "own"], texts)) == []
    assert languages.found_in([tmp_path]) == [("en", "English"), ("de", "Deutsch (66 %)")]
    assert languages.found_in([tmp_path / "own"]) == [("en", "English"), ("de", "Deutsch")]
    written(tmp_path, *done)
    begun.with_suffix(".mo").unlink()
    assert list(catalogues.compile_new([tmp_path], texts)) == []
    assert languages.found_in([tmp_path]) == [("en", "English"), ("de", "Deutsch")]
    own.with_suffix(".mo").write_bytes(b"no catalogue")
    assert languages.found_in([tmp_path / "own"]) == [("en", "English"), ("de", "Deutsch")]


def test_a_catalogue_is_compiled_once_and_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, polib.POEntry(msgid="Sent", msgstr="Gesendet"))
    assert list(catalogues.compile_new([tmp_path])) == []
    assert dict(languages.found_in([tmp_path]))["de"] == "Deutsch (0 %)"
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
