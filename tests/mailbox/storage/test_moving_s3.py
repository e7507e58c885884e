"""Stored mail is moved to S3 and from it, while mail comes in, the server fails at random, and the mover is killed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailbox.errors import StorageError
from mailbox.models import RawMessage
from mailbox.storage import moving, object_store, raw_store
from mailbox.storage.durable_files import raw_storage
from mailbox.storage.two_stores import TwoStores
from prx_email_site.settings.raw_store import raw_storage_of
from tests.servers.forked import Forked
from tests.servers.ports import wait_until
from tests.servers.s3 import BUCKET, S3Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire, pytest.mark.processes]
RAWS = [f"mail {number}".encode() for number in range(30)]
EACH = 2  # mails of a segment
KILLS = 2
MOST_COMING = 100  # mails that come in meanwhile

MOVER = """
import json, os, sys, time
from pathlib import Path
os.environ.update(json.loads(sys.argv[1]))
from django.conf import settings
from django.core.management import call_command
from prx_email_site.settings.raw_store import raw_storage_of
settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(Path(sys.argv[2]))}
time.sleep = lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.01))
call_command("move_store")
"""
Use = Callable[[str, str], Any]


@pytest.fixture
def given(s3_server: S3Server, tmp_path: Path) -> dict[str, str]:
    """What the environment says of the S3 server, for the mover as well."""
    options = s3_server.options
    return {
        "PRX_EMAIL_S3_BUCKET": BUCKET,
        "PRX_EMAIL_S3_PREFIX": options["location"],
        "PRX_EMAIL_S3_ENDPOINT": options["endpoint_url"],
        "AWS_REGION": options["region_name"],
        "AWS_ACCESS_KEY_ID": options["access_key"],
        "AWS_SECRET_ACCESS_KEY": options["secret_key"],
        "PRX_EMAIL_RAW_DIR": str(tmp_path / "files"),
    }


@pytest.fixture
def use(
    given: dict[str, str],
    s3_server: S3Server,
    clients: dict[float, Any],
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Use:
    """use(store, also): which of "files" and "s3" is the raw store from now on, and which is also read."""
    settings.DATA_DIR = tmp_path / "data"
    s3_server.clear(clients[60])
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)

    def change(store: str, also: str) -> Any:
        given["PRX_EMAIL_RAW_STORAGE"] = store
        given["PRX_EMAIL_RAW_ALSO_READ"] = given["PRX_EMAIL_RAW_DIR"] if also == "files" else also
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(tmp_path)}
        stores = raw_storage()
        for each in (stores, getattr(stores, "present", None), getattr(stores, "other", None)):
            if isinstance(each, object_store.S3RawStorage):
                each._made = (os.getpid(), clients[60])
        return stores

    return change


def store_in(use: Use, store: str) -> None:
    use(store, "")
    for start in range(0, len(RAWS), EACH):
        raw_store.save_batch(RAWS[start : start + EACH])


class Coming:
    """Mail that comes in: what the store refuses is brought again, as it stays on its server."""

    def __init__(self) -> None:
        self.raws: list[bytes] = []

    def bring(self) -> None:
        if len(self.raws) < MOST_COMING:
            raw = f"came in {len(self.raws)}".encode()
            try:
                raw_store.save_batch([raw])
            except StorageError:
                return
            self.raws.append(raw)


@pytest.mark.parametrize(("new", "old"), [("s3", "files"), ("files", "s3")])
def test_killed_and_with_a_server_that_fails_at_random_all_is_moved_and_read_from_the_new_store(
    new: str, old: str, use: Use, given: dict[str, str], s3_server: S3Server, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown where it fails
    chance = random.Random(seed)
    store_in(use, old)
    stores, coming, killed = use(new, old), Coming(), 0
    s3_server.chance = random.Random(seed)
    while True:
        mover, until = Forked(MOVER, json.dumps(given), tmp_path), len(s3_server.asked) + chance.randrange(10, 40)

        def is_time(mover: Forked = mover, until: float = until if killed < KILLS else float("inf")) -> bool:
            coming.bring()
            return mover.poll() is not None or len(s3_server.asked) >= until

        wait_until(is_time, seconds=120, what="the mover")
        mover.kill()
        status = mover.wait()
        killed += status == -signal.SIGKILL
        assert status in (0, 1, -signal.SIGKILL)  # 1: the server was away at the mover's first question
        if status == 0:
            break
    s3_server.chance, s3_server.faults = None, []
    assert coming.raws and moving.left_in(stores) == 0
    digests = {raw_store.digest_of(raw) for raw in [*RAWS, *coming.raws]}
    assert set(RawMessage.objects.values_list("digest", flat=True)) >= digests
    s3_server.asked.clear()
    if old == "files":
        (tmp_path / "files").rename(tmp_path / "gone")
    for also in (old, ""):  # nothing asks the old store, though it is still named
        use(new, also)
        assert [digest for digest in digests if not raw_store.is_sound(digest)] == []
    assert old == "files" or s3_server.asked == []


@pytest.fixture
def stores(use: Use) -> TwoStores:
    store_in(use, "files")
    stores: TwoStores = use("s3", "files")
    return stores


@pytest.mark.parametrize(
    ("fault", "words"),
    [("reset", "object store is out of reach"), ("revoked", "access key"), ("expired", "access key")],
)
def test_an_outage_is_waited_out_with_longer_and_longer_pauses(
    stores: TwoStores, s3_server: S3Server, fault: str, words: str
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 7:
            s3_server.always = ""

    said: list[str] = []
    steps = moving.move(
        stores, moving.Patience(lambda error, pause: said.append(str(error)), clock=lambda: 0.0, sleep=sleep)
    )
    next(steps)
    s3_server.always = fault
    *_, moved = steps
    assert (moved.segments, moved.messages, moved.left) == (len(RAWS) // EACH, len(RAWS), [])
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert len(said) == 7 and all(words in each for each in said)


def test_an_outage_of_hours_ends_the_move_and_the_next_one_goes_on(stores: TwoStores, s3_server: S3Server) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    steps = moving.move(stores, moving.Patience(clock=lambda: now[0], sleep=sleep))
    next(steps)
    s3_server.always = "reset"
    with pytest.raises(OSError, match="out of reach"):
        next(steps)
    assert 3600 <= now[0] <= 3600 + moving.LONGEST_PAUSE_SECONDS
    s3_server.always = ""
    *_, moved = moving.move(stores)
    assert moved.segments == len(RAWS) // EACH - 1 and moving.left_in(stores) == 0
