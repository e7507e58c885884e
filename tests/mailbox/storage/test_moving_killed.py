"""The mover of stored mail is killed wherever it happens to be, again and again, until it has moved everything."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from django.utils import timezone

from mailbox.storage import moving, raw_store, sweeping
from tests.mailbox.storage.test_moving import Use, use
from tests.servers.forked import Forked
from tests.servers.ports import wait_until

__all__ = ["use"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]
RAWS = [f"mail {number}".encode() for number in range(120)]
EACH = 2  # mails of a segment
SEGMENTS = len(RAWS) // EACH

MOVER = """
import os, sys
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
from prx_email_site.settings.raw_store import raw_storage_of
os.environ["PRX_EMAIL_RAW_DIR"], os.environ["PRX_EMAIL_RAW_ALSO_READ"] = sys.argv[1:3]
settings.STORAGES = {**settings.STORAGES, "raw": raw_storage_of(Path(sys.argv[1]))}
call_command("move_store")
"""


def all_are_read() -> bool:
    return [raw_store.open_raw(raw_store.digest_of(raw)) for raw in RAWS] == RAWS


def segments(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.seg"))


def test_a_mover_that_is_killed_at_random_instants_loses_nothing_and_ends(use: Use, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown where it fails
    chance = random.Random(seed)
    use("old", "")
    for start in range(0, len(RAWS), EACH):
        raw_store.save_batch(RAWS[start : start + EACH])
    stores = use("new", "old")
    new, old = tmp_path / "new", tmp_path / "old"
    while True:
        mover, until = Forked(MOVER, new, old), segments(new) + chance.randrange(1, 16)
        wait_until(lambda m=mover, n=until: m.poll() is not None or segments(new) >= n, seconds=60, what="some moved")  # type: ignore[misc]
        mover.kill()
        status = mover.wait()
        assert all_are_read()
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert moving.left_in(stores) == 0
    for path in tmp_path.rglob("*.seg"):
        os.utime(path, (0, 0))
    sweeping.sweep(timezone.now())
    assert (segments(new), segments(old)) == (SEGMENTS, 0)
    use("new", "")
    assert all_are_read()
