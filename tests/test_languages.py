"""The language of a page: the browser's, or the one chosen on the profile, of those that have a catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext

from mailbox.models import AuditEntry
from tests.pseudo_locale import pseudo, write_catalogue

__all__ = ["pseudo"]
pytestmark = [pytest.mark.pages]


@pytest.mark.django_db
def test_the_browsers_language_is_spoken_where_there_is_a_catalogue(pseudo: None, client: Client) -> None:
    for asked, spoken in (("xx, en;q=0.5", "xx"), ("de", "en"), ("ru;q=1, xx;q=0.1", "xx"), ("x\x00;;,", "en")):
        response = client.get(reverse("login"), HTTP_ACCEPT_LANGUAGE=asked)
        assert f'<html lang="{spoken}">' in response.content.decode()
        assert response.headers["Content-Language"] == spoken
        assert "Accept-Language" in response.headers["Vary"]
    assert translation.get_language() == "en"  # the thread is left as it was


@pytest.mark.django_db
def test_a_language_is_chosen_on_the_profile_where_there_are_several(
    pseudo: None, client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    assert 'name="language"' in client.get(reverse("profile")).content.decode()
    page = client.post(reverse("profile"), {"language": "xx"}, follow=True).content.decode()
    assert '<html lang="xx">' in page
    assert "⟦Times are shown as in ⟧UTC⟦.⟧" in page
    response = client.get(reverse("dashboard"), HTTP_ACCEPT_LANGUAGE="en")
    assert response.headers["Content-Language"] == "xx"
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.detail) == ("change_profile", "xx")
    client.post(reverse("profile"), {"language": ""})
    assert client.get(reverse("dashboard")).headers["Content-Language"] == "en"


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["tlh", "../../etc", "x" * 5000, "xx\x00"])
def test_what_is_no_language_here_is_refused_with_a_sentence(
    pseudo: None, client: Client, make_user: Callable[..., User], given: str
) -> None:
    client.force_login(make_user("viewer"))
    page = client.post(reverse("profile"), {"language": given}).content.decode()
    assert "There is no such language here; choose one of the list." in page
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_a_language_whose_catalogue_is_gone_is_the_browsers_again(
    pseudo: None, settings: Any, client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    client.post(reverse("profile"), {"language": "xx"})
    settings.LANGUAGES = [("en", "English")]
    page = client.get(reverse("profile"))
    assert page.headers["Content-Language"] == "en"
    assert 'name="language"' not in page.content.decode()
    assert client.post(reverse("profile"), {"language": "xx"}).status_code == 302  # no field, so nothing is asked


@pytest.mark.django_db
def test_a_language_that_is_written_from_right_to_left_says_so(settings: Any, tmp_path: Path, client: Client) -> None:
    write_catalogue(tmp_path, "ar")
    settings.LOCALE_PATHS, settings.LANGUAGES = [tmp_path], [("en", "English"), ("ar", "العربية")]
    page = client.get(reverse("login"), HTTP_ACCEPT_LANGUAGE="ar").content.decode()
    assert '<html lang="ar" dir="rtl">' in page


def test_languages_are_those_that_a_compiled_catalogue_lies_there_for(tmp_path: Path) -> None:
    from prx_email_site import languages

    for name in ("pt_BR", "de", "zh_Hans", "tlh"):
        (tmp_path / name / "LC_MESSAGES").mkdir(parents=True)
        (tmp_path / name / "LC_MESSAGES" / "django.mo").touch()
    (tmp_path / "fr" / "LC_MESSAGES").mkdir(parents=True)  # not compiled
    found = languages.found_in([tmp_path, tmp_path / "nowhere"])
    assert [code for code, _name in found] == ["en", "de", "pt-br", "tlh", "zh-hans"]
    assert dict(found)["de"] == "Deutsch"
    assert dict(found)["tlh"] == "tlh"


@pytest.mark.django_db
def test_the_sheet_of_shortcuts_says_the_arrow_that_leads_on(client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("viewer"))
    for language, arrow in (("en", "→"), ("ar", "←")):
        groups = client.get("/keyboard/", headers={"accept-language": language}).context["groups"]
        assert groups[1][1][0][0] == ["j", arrow]


def test_a_wrong_host_is_refused_in_the_browsers_language(client: Client) -> None:
    """It is refused before the language is known to the rest: the page was English."""
    response = client.get(reverse("login"), headers={"host": "wrong.invalid", "accept-language": "ar"})
    page = response.content.decode()
    assert response.status_code == 400
    assert 'lang="ar"' in page
    assert 'dir="rtl"' in page
    with translation.override("ar"):
        assert gettext("This request cannot be answered") in page
    assert "This request cannot be answered" not in page
