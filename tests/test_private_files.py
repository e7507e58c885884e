"""Nobody else on the machine reads the data folder: not after a first run, nor after an older version's."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prx_email_site import private_files
from tests.servers.ports import wait_until
from tests.servers.site import ROOT
from tests.test_launch import Run, clean_environment, launch, queue_a_task, tasks_done

__all__ = ["launch"]  # the fixture


def modes(folder: Path) -> dict[str, str]:
    """What in the folder is not as it must be."""
    paths = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    wanted = {True: 0o700, False: 0o600}
    wrong = [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o777 != wanted[path.is_dir()]]
    return {str(path.relative_to(folder)): oct(path.stat().st_mode) for path in wrong}


@pytest.fixture
def careless_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


@pytest.mark.long  # test_launch looks at them after its own first run, with the umask there is
def test_after_a_first_run_every_file_is_its_owners_alone_whatever_the_umask(
    careless_umask: None,
    launch: Callable[..., Run],
    tmp_path: Path,
) -> None:
    run = launch()
    run.wait_until_ready()
    data = tmp_path / "data"
    queue_a_task(data)
    wait_until(lambda: tasks_done(data) == [(1,)], seconds=30, what="a worker to take the task")
    assert (data / "prx-email.sqlite3-wal").exists()
    assert modes(data) == {}


def prepare(data: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**clean_environment(), "PRX_EMAIL_DATA_DIR": str(data), **variables}
    arguments = [sys.executable, "manage.py", *(command or ("prepare",))]
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)


@pytest.mark.long
def test_a_start_closes_what_an_older_version_left_open_and_check_says_so_before(
    careless_umask: None, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "raw/ab").mkdir(parents=True)
    (data / "raw/ab/segment").write_bytes(b"mail")
    (tmp_path / "elsewhere").write_text("not ours to change")
    (data / "link").symlink_to(tmp_path / "elsewhere")
    (data / "prx-email.sqlite3").touch()
    said = prepare(data, "check").stderr
    assert "prx_email_site.W002" in said
    assert str(data) in said
    static = tmp_path / "static"
    prepare(data, PRX_EMAIL_STATIC_ROOT=str(static))
    assert modes(data) == {}
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o666
    assert "W002" not in prepare(data, "check").stderr
    is_readable_by_a_proxy(static)


def is_readable_by_a_proxy(static: Path) -> None:
    (style,) = static.glob("css/base.*.css")
    assert style.stat().st_mode & 0o777 == 0o644
    assert style.with_name(f"{style.name}.gz").stat().st_mode & 0o777 == 0o644
    assert style.parent.stat().st_mode & 0o777 == 0o755


def test_a_file_that_vanishes_while_it_is_looked_at_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal"
    journal.touch(0o644)
    monkeypatch.setattr(private_files, "open_to_others", lambda folder: iter([journal]))
    journal.unlink()
    assert private_files.close_to_others(tmp_path) == []
