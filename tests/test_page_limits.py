"""What a page may cost, every one of them, filled: queries of the database and bytes of a first visit."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from people.sessions import expiry
from tests.filled_pages import WHO_SEES_MOST, Rows, accounts, addresses, person, probes_ask_in_this_thread, rows

__all__ = ["accounts", "person", "probes_ask_in_this_thread", "rows"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
QUERIES, BYTES = 12, 150_000


@pytest.fixture
def browser(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def test_no_page_asks_more_than_twelve_queries(browser: Client, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the save of the session, which comes to whichever page is asked once a minute has passed."""
    monkeypatch.setattr(expiry, "NOTED_EACH_SECONDS", math.inf)
    costs, answers = {}, {}
    for url in addresses(rows):
        with CaptureQueriesContext(connection) as captured:
            answers[url] = browser.get(url).status_code
        costs[url] = len(captured)
    assert {url: cost for url, cost in costs.items() if cost > QUERIES} == {}
    # What the operator may not see, and the sign-in page of one who is signed in, are no pages of theirs.
    shown = [url for url, status in answers.items() if status == 200]
    assert len(shown) >= 45, answers
    assert not [url for url, status in answers.items() if status not in (200, 302, 403, 204, 410)], answers


class Visit:
    """A browser's first visit to pages, with an empty cache each: what goes over the line, headers too."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._sizes: dict[str, int] = {}
        self.packed: dict[str, bool] = {}

    def fetch(self, url: str) -> tuple[int, bytes, Any]:
        response = self.client.get(url, HTTP_ACCEPT_ENCODING="gzip, deflate, br")
        streaming = getattr(response, "streaming", False)
        body = b"".join(response.streaming_content) if streaming else response.content  # type: ignore[attr-defined]
        headers = sum(len(f"{name}: {value}\r\n") for name, value in response.items())
        return len(body) + headers, body, response

    def part(self, url: str) -> int:
        if url not in self._sizes:
            size, _body, response = self.fetch(url)
            assert response.status_code in (200, 204, 404), f"{url} answered {response.status_code}"
            self._sizes[url] = size
            self.packed[url] = response.get("Content-Encoding") == "gzip"
        return self._sizes[url]

    def page(self, url: str) -> int | None:
        """Bytes of the page and all it asks for; None where the answer is no page."""
        size, body, response = self.fetch(url)
        if response.status_code != 200 or not response["Content-Type"].startswith("text/html"):
            return None
        tags = re.findall(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"", body.decode())
        assert not [tag for tag in tags if "//" in tag], "a page asks nobody else"
        return size + sum(map(self.part, set(tags)))


@pytest.fixture
def production_files(settings: Any, tmp_path: Path) -> None:
    """Static files as `manage.py prepare` lays them out and WhiteNoise serves them."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    settings.STATIC_ROOT, settings.WHITENOISE_USE_FINDERS, settings.WHITENOISE_AUTOREFRESH = tmp_path, False, False
    call_command("collectstatic", interactive=False, verbosity=0)


@WHO_SEES_MOST
@pytest.mark.long
def test_no_first_visit_takes_more_than_150_kilobytes(production_files: None, browser: Client, rows: Rows) -> None:
    visit = Visit(browser)
    sizes = {url: visit.page(url) for url in addresses(rows)}
    weighed = {url: size for url, size in sizes.items() if size is not None}
    assert len(weighed) >= 38, sizes
    assert {url: size for url, size in weighed.items() if size > BYTES} == {}
    texts = [url for url in visit.packed if url.endswith((".css", ".js"))]
    assert len(texts) > 12
    small = {"/static/js/theme"}  # gzip would not make these shorter
    assert [url for url in texts if not visit.packed[url] and url.split(".")[0] not in small] == []
