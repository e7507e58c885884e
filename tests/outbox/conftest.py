"""Short waits."""

from __future__ import annotations

import pytest
from pytest_django import Settings

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def short_waits(settings: Settings) -> None:
    """A server that never answers costs a test a second, not ten minutes."""
    settings.CONNECT_TIMEOUT_SECONDS = 2
    settings.COMMAND_TIMEOUT_SECONDS = 1
    settings.FINAL_DOT_TIMEOUT_SECONDS = 1
