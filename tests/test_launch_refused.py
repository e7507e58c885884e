"""What `make run` says, and ends with, when it cannot start or is stopped before it has."""

from __future__ import annotations

import fcntl
import os
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prx_email_site import launch as launch_module
from tests.launched import SLOW, Run, launch
from tests.servers.ports import free_ports, wait_until
from tests.servers.site import ROOT

__all__ = ["launch"]


def test_a_port_that_is_taken_is_said_in_a_sentence(launch: Callable[..., Run]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        run = launch(PRX_EMAIL_BIND=bind)
        assert run.process.wait(SLOW) == 1
    assert f"Cannot listen on {bind}" in run.output()
    assert "PRX_EMAIL_BIND" in run.output()


def test_a_port_that_another_start_took_meanwhile_is_said_and_its_server_is_not_called_ready(
    launch: Callable[..., Run], tmp_path: Path
) -> None:
    """Two `make run` at once: both find the port free, and one prepares after the other."""
    (tmp_path / "data").mkdir(mode=0o700)
    with (tmp_path / "data/prepare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = launch()
        wait_until(lambda: "waiting for its end" in run.output(), seconds=SLOW, what="the second prepare")
        taken = socket.create_server(("127.0.0.1", run.port))
    with taken:
        assert run.process.wait(SLOW) == 1
    assert f"Cannot listen on 127.0.0.1:{run.port}" in run.output()
    assert "Ready" not in run.output() and "Listening" not in run.output()


def test_make_run_looks_at_the_port_before_it_installs_and_says_so_once(tmp_path: Path) -> None:
    """In a tree without .venv, as after a clone: nothing of it may be made."""
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "prx_email_site").mkdir()
    for name in ("__init__.py", "environment.py", "launch.py"):
        shutil.copy(ROOT / "prx_email_site" / name, tmp_path / "prx_email_site")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        command = ["make", "--silent", "run", f"PYTHON={sys.executable}"]
        environment = {**os.environ, "PRX_EMAIL_BIND": bind}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SLOW)
    assert done.returncode != 0
    assert done.stderr.count(f"Cannot listen on {bind}") == 1
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PRX_EMAIL_BIND": "8000"}, "PRX_EMAIL_BIND must be HOST:PORT"),
        ({"PRX_EMAIL_BIND": "127.0.0.1:web"}, "PRX_EMAIL_BIND must be HOST:PORT"),
        ({"PRX_EMAIL_STOP_SECONDS": "soon"}, "PRX_EMAIL_STOP_SECONDS must be a whole number"),
        ({"PRX_EMAIL_ADMIN_PASSWORD": "12345"}, "PRX_EMAIL_ADMIN_PASSWORD cannot be used"),
    ],
)
@pytest.mark.in_part(3)
def test_a_setting_that_cannot_be_used_is_said_in_a_sentence(
    launch: Callable[..., Run], variables: dict[str, str], sentence: str
) -> None:
    run = launch(**variables)
    assert run.process.wait(SLOW) == 1
    assert sentence in run.output()
    assert "Traceback" not in run.output()


def test_ctrl_c_before_it_is_prepared_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("PRX_EMAIL_BIND", f"127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.setenv("PRX_EMAIL_BASE_URL", "http://127.0.0.1")
    monkeypatch.setattr(launch_module.subprocess, "run", interrupted)
    assert launch_module.main() == 130
    assert "next start goes on" in capsys.readouterr().out
    monkeypatch.setattr("django.core.management.execute_from_command_line", interrupted)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(ROOT, "manage.py")), run_name="__main__")
    assert ended.value.code == 130
