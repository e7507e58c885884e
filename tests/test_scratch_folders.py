"""Copies of mail on this host's disk do not outlive the process that made them, even when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import InMemoryUploadedFile, SimpleUploadedFile, UploadedFile
from django.test import RequestFactory

from prx_email_site.local_files import scratch_folders
from prx_email_site.local_files.scratch_folders import LOCK, remove_left_ones, scratch_folder

HOLDS = """
import sys
from prx_email_site.local_files.scratch_folders import scratch_folder
with scratch_folder("proof") as folder:
    (folder / "database").write_text("mail")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch_folders, "SETTLED_SECONDS", -1)
    return tmp_path


def test_a_folder_is_ours_alone_and_goes_at_the_end(temporary: Path) -> None:
    with scratch_folder("proof") as folder:
        assert folder.parent == temporary and folder.stat().st_mode & 0o777 == 0o700
        assert remove_left_ones() == 0 and folder.exists()
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(temporary: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", HOLDS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as holder:  # type: ignore[call-overload]
        try:
            folder = Path(holder.stdout.readline().strip())
            assert (folder / "database").exists()
            assert remove_left_ones() == 0
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
    assert (folder / "database").exists()
    with scratch_folder("copy") as other:
        assert not folder.exists() and other.exists()


def test_a_folder_that_is_not_locked_yet_is_left_alone(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_folders, "SETTLED_SECONDS", 60)
    young, foreign = temporary / "prx-email-proof-a", temporary / "prx-email-postgres-a"
    for each in (young, foreign):
        each.mkdir()
    (young / LOCK).touch()
    assert remove_left_ones() == 0
    os.utime(young / LOCK, (0, 0))
    assert remove_left_ones() == 1 and not young.exists() and foreign.exists()


def test_a_folder_whose_process_was_killed_before_it_locked_it_or_after_it_removed_the_lock_goes(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch_folders, "SETTLED_SECONDS", 60)
    left = temporary / "prx-email-proof-a"
    left.mkdir()
    (left / "database").write_text("mail")
    assert remove_left_ones() == 0
    os.utime(left, (0, 0))
    assert remove_left_ones() == 1 and not left.exists()


def test_a_large_upload_has_no_file_with_a_name(temporary: Path, rf: RequestFactory) -> None:
    content = b"somebody's attachment" * 200_000
    assert len(content) > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    file = rf.post("/", {"file": SimpleUploadedFile("report.pdf", content)}).FILES["file"]
    assert isinstance(file, UploadedFile) and not isinstance(file, InMemoryUploadedFile)
    assert (file.name, file.size, file.read()) == ("report.pdf", len(content), content)
    assert not list(temporary.iterdir())
    file.close()
