"""What stands after "since" is a point of time: "since 3 min ago" is said in no language."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from prx_email_site.templatetags.prx import point_of_time

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
TRANSLATED = re.compile(r"{% blocktranslate([^%]*)%}(.*?){% endblocktranslate %}", re.S)


@pytest.mark.parametrize(
    ("when", "zone", "words"),
    [
        (datetime(2026, 3, 10, 9, 12, tzinfo=UTC), "UTC", "09:12"),
        (datetime(2026, 3, 9, 23, 50, tzinfo=UTC), "UTC", "Mon 09 Mar 23:50"),
        (datetime(2026, 3, 9, 23, 50, tzinfo=UTC), "Europe/Berlin", "00:50"),  # today there
    ],
)
def test_it_is_the_time_of_today_or_day_and_time(
    monkeypatch: pytest.MonkeyPatch, when: datetime, zone: str, words: str
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    with timezone.override(zone):
        assert f">{words}</time>" in point_of_time(when)


def test_no_page_says_since_and_then_how_long_ago() -> None:
    wrong, found = [], 0
    for path in Path(settings.BASE_DIR, "templates").rglob("*.html"):
        for head, text in TRANSLATED.findall(path.read_text()):
            for name in re.findall(r"(?i)since {{ (\w+) }}", text):
                found += 1
                if re.search(rf"\b{name}=\S+\|moment", head):
                    wrong.append(f"{path.name}: {text}")
    assert found > 5 and wrong == []
