"""One S3 server for the tests of the raw store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mailbox.storage import object_store
from tests.servers.s3 import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server = S3Server().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def clients(s3_server: S3Server) -> dict[float, Any]:
    """By how long they wait for an answer; to make one takes long."""
    return {wait: object_store.S3RawStorage(**s3_server.options, answer_seconds=wait).client for wait in (2, 60)}
