"""The production storage of static files, which the other tests do without."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client


def test_every_static_file_finds_what_it_refers_to_and_gets_a_hashed_name(
    settings: Any, tmp_path: Path, client: Client, db: None
) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    settings.STATIC_ROOT = tmp_path
    call_command("collectstatic", interactive=False, verbosity=0)
    url = staticfiles_storage.url("css/base.css")
    assert re.fullmatch(r"/static/css/base\.[0-9a-f]{12}\.css", url)
    assert (tmp_path / url.removeprefix("/static/")).exists()
    # A page whose template names a file that is not there is an error on that page, and only in production.
    assert url in client.get("/login/").content.decode()


def test_no_style_sheet_or_script_is_longer_than_a_reader_keeps_in_mind() -> None:
    static = Path(__file__).parent.parent / "prx_email_site" / "static"
    lengths = {path.name: len(path.read_text().splitlines()) for path in static.glob("*/*.*s")}
    assert {name: length for name, length in lengths.items() if length > 320} == {}
    assert len(lengths) > 20
