"""Nobody else on the machine reads the data folder that an older version made; test_launch has a first run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prx_email_site.local_files import private_files
from tests.launched import careless_umask, clean_environment, modes
from tests.servers.site import ROOT

__all__ = ["careless_umask"]  # the fixture


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
