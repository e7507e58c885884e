"""`make` mends a .venv that is half made, or whose Python is gone, and two of them do not spoil one .venv."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launched import SLOW
from tests.servers.ports import wait_until
from tests.servers.site import ROOT

MAKE = ["make", "--silent", ".venv/installed", f"PYTHON={sys.executable}"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone, with the set-up alone and no package to fetch; its path has what shells take apart."""
    tree = tmp_path / "päth & more"
    (tree / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tree)
    shutil.copy(ROOT / "scripts/make-venv", tree / "scripts")
    (tree / "requirements.lock").touch()
    return tree


def made(tree: Path) -> str:
    """What another make says, after which pip is there and the packages count as installed."""
    done = subprocess.run(MAKE, cwd=tree, capture_output=True, text=True, timeout=SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run([tree / ".venv/bin/python", "-m", "pip", "--version"], check=True, stdout=subprocess.DEVNULL)
    assert (tree / ".venv/installed").exists()
    return done.stdout


def test_a_set_up_that_was_killed_is_begun_anew(tree: Path) -> None:
    first = subprocess.Popen(MAKE, cwd=tree, stdout=subprocess.DEVNULL, start_new_session=True)
    python = tree / ".venv/bin/python"
    wait_until(lambda: python.exists() or first.poll() is not None, seconds=SLOW, what="a .venv without pip")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert python.exists() and not (tree / ".venv/installed").exists()
    assert "Installing" in made(tree)
    assert made(tree) == ""


def test_a_venv_whose_python_is_gone_is_made_anew(tree: Path) -> None:
    """As after an upgrade of Debian: the link leads to another Python, which looks into a folder of its own."""
    made(tree)
    (library,) = (tree / ".venv/lib").iterdir()
    library.rename(library.with_name("python3.2"))
    assert "Installing" in made(tree)
    (tree / ".venv/bin/python").unlink()
    (tree / ".venv/bin/python").symlink_to("/nonexistent/python3.2")
    assert "Installing" in made(tree)
    assert {each.name for each in (tree / ".venv/lib").iterdir()} == {library.name}


def test_one_make_waits_while_another_sets_up(tree: Path) -> None:
    with (tree / "scripts/make-venv").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        second = subprocess.Popen(MAKE, cwd=tree, stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None and "waiting" in second.stdout.readline()
        assert not (tree / ".venv").exists()
    said, _ = second.communicate(timeout=SLOW)
    assert second.returncode == 0 and "Installing" in said
    assert made(tree) == ""
