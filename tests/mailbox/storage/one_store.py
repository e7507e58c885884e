"""Installations on one raw store, in one test database: the tables hold the rows of the one that is `here`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import RawMessage, StoreNote
from mailbox.storage import installations, raw_store, sweeping
from prx_email_site.settings.raw_store import S3, raw_storage_of
from tests.servers.s3 import S3Server

TWO_DAYS = timedelta(days=2)


class Site:
    """An installation: its rows are in the tables while one is `in` it. All sites of a test have one store."""

    def __init__(self) -> None:
        self.rows: dict[type[Any], list[Any]] = {StoreNote: [], RawMessage: []}

    @contextmanager
    def here(self) -> Iterator[None]:
        for model, rows in self.rows.items():
            model.objects.all().delete()
            model.objects.bulk_create(rows)
        yield
        self.rows = {model: list(model.objects.all()) for model in self.rows}

    def copy(self) -> Site:
        """As a restored backup or a cloned machine begins."""
        copied = Site()
        copied.rows = {model: list(rows) for model, rows in self.rows.items()}
        return copied

    def note(self) -> list[StoreNote]:
        with self.here():
            return installations.note(timezone.now())

    def store(self, raw: bytes) -> str:
        with self.here():
            return raw_store.save_batch([raw])[0]

    def sweep(self, after: timedelta = TWO_DAYS) -> int:
        with self.here():
            return sweeping.sweep(timezone.now() + after)

    def reads(self, digest: str) -> bool:
        with self.here():
            return raw_store.is_sound(digest)


@pytest.fixture
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRX_EMAIL_RAW_DIR", str(tmp_path / "shared"))
    settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(tmp_path / "data")}
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "shared"


@pytest.fixture
def bucket(s3_server: S3Server, clients: dict[float, Any], settings: Any, tmp_path: Path) -> S3Server:
    s3_server.clear(clients[60])
    settings.STORAGES = {**settings.STORAGES, "raw": {"BACKEND": S3, "OPTIONS": s3_server.options}}
    settings.DATA_DIR = tmp_path / "data"
    return s3_server


@pytest.fixture(params=["folder", "bucket"])
def one_store(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(request.param)
