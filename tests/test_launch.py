"""`make run`, as a person starts and stops it: real processes, a data folder of their own, a free port."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prx_email_site.launch import PROCESSES, BindAddress, commands
from tests.launched import SLOW, Run, careless_umask, clean_environment, command_line, is_alive, launch, modes
from tests.servers.ports import wait_until
from tests.servers.site import ROOT

__all__ = ["careless_umask", "launch"]
PASSWORD = "correct-horse-battery"


def queue_a_task(folder: Path) -> None:
    """From another process, as a page does."""
    command = "from django_q.tasks import async_task; async_task('os.getppid')"
    environment = {**os.environ, "PRX_EMAIL_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "prx_email_site.settings"}
    environment.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "manage.py", "shell", "-c", command], cwd=ROOT, env=environment, check=True)


def tasks_done(folder: Path) -> list[tuple[int]]:
    """Whether each task that ran under this name succeeded."""
    with sqlite3.connect(folder / "prx-email.sqlite3") as database:
        return database.execute("SELECT success FROM django_q_task WHERE func = 'os.getppid'").fetchall()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after a first start, for the tests that are not about it."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    variables = {"PRX_EMAIL_DATA_DIR": str(folder), "PRX_EMAIL_ADMIN_PASSWORD": PASSWORD}
    environment = {**clean_environment(), **variables}
    subprocess.run([sys.executable, "manage.py", "prepare"], cwd=ROOT, env=environment, check=True)
    return folder


def test_one_command_serves_pages_and_runs_workers_and_a_signal_stops_all_of_it(
    careless_umask: None, launch: Callable[..., Run], tmp_path: Path
) -> None:
    """And whatever the umask, every file is its owner's alone."""
    run = launch(PRX_EMAIL_ADMIN_USER="ann", PRX_EMAIL_ADMIN_PASSWORD=PASSWORD)
    run.wait_until_ready()
    assert f"Ready: http://127.0.0.1:{run.port}" in run.output()
    status, page = run.get("/login/")
    assert status == 200
    assert 'name="password"' in page
    assert PASSWORD not in run.output()
    data = tmp_path / "data"
    assert (data / "keys/secret_key").stat().st_mode & 0o777 == 0o600

    # A stylesheet by its hashed name, compressed and cached for ever: the manifest was built before the start.
    assert "/static/css/" in page
    wait_until(lambda: len(run.workers()) >= 5, seconds=SLOW, what="the cluster's five processes")
    queue_a_task(data)
    wait_until(lambda: tasks_done(data) == [(1,)], seconds=SLOW, what="a worker to take the task")
    assert (data / "prx-email.sqlite3-wal").exists()
    assert modes(data) == {}
    everything = run.descendants()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(SLOW) == 0
    assert [pid for pid in everything if is_alive(pid)] == []
    assert "Stopped." in run.output()


@pytest.mark.long
def test_push_runs_beside_the_rest_and_is_started_again_when_it_ends(
    launch: Callable[..., Run], prepared: Path
) -> None:
    run = launch(prepared)
    run.wait_until_ready()

    def pushing() -> list[int]:
        return [pid for pid in run.descendants() if "manage.py idle" in command_line(pid)]

    wait_until(lambda: "Listening for new mail" in run.output(), seconds=SLOW, what="push to listen")
    (first,) = pushing()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: run.output().count("Listening for new mail") == 2, seconds=SLOW, what="push to listen again")
    assert run.process.poll() is None
    assert pushing() != [first]
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(SLOW) == 0
    assert pushing() == []


@pytest.mark.long
def test_the_password_is_printed_once_and_a_second_start_reuses_everything(
    launch: Callable[..., Run], tmp_path: Path
) -> None:
    first = launch()
    first.wait_until_ready()
    assert "Password (shown this once): " in first.output()
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(SLOW) == 0
    key = (tmp_path / "data/keys/encryption_key").read_text()

    second = launch()
    second.wait_until_ready()
    assert "Password" not in second.output()
    assert (tmp_path / "data/keys/encryption_key").read_text() == key
    with sqlite3.connect(tmp_path / "data/prx-email.sqlite3") as database:
        rows = database.execute("SELECT username, is_superuser FROM auth_user").fetchall()
        groups = database.execute(
            "SELECT name FROM auth_group JOIN auth_user_groups ON group_id = auth_group.id"
        ).fetchall()
    assert rows == [("admin", 1)]
    assert groups == [("administrator",)]


@pytest.mark.long
def test_when_the_web_server_dies_the_rest_is_stopped_and_the_status_says_so(
    launch: Callable[..., Run], prepared: Path
) -> None:
    run = launch(prepared)
    run.wait_until_ready()
    wait_until(lambda: len(run.workers()) >= 5, seconds=SLOW, what="the cluster's five processes")
    everything = run.descendants()
    os.kill(next(pid for pid in everything if "gunicorn" in command_line(pid)), signal.SIGKILL)
    assert run.process.wait(SLOW) == 1
    assert "The web process ended by itself" in run.output()
    assert [pid for pid in everything if is_alive(pid)] == []


@pytest.mark.long
def test_workers_that_end_are_started_again_and_work(
    launch: Callable[..., Run], prepared: Path, tmp_path: Path
) -> None:
    run = launch(prepared)
    run.wait_until_ready()
    wait_until(lambda: len(run.workers()) >= 6, seconds=SLOW, what="the cluster's processes")
    first = run.workers()
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: set(run.workers()) - set(first), seconds=SLOW, what="another process")
    queue_a_task(tmp_path / "data")
    wait_until(lambda: tasks_done(tmp_path / "data") == [(1,)], seconds=SLOW, what="a worker to take the task")
    assert run.process.poll() is None


@pytest.mark.long
def test_nothing_is_left_when_the_launcher_itself_is_killed(launch: Callable[..., Run], prepared: Path) -> None:
    run = launch(prepared)
    run.wait_until_ready()
    wait_until(lambda: len(run.workers()) >= 5, seconds=SLOW, what="the cluster's five processes")
    everything = run.descendants()
    run.process.kill()
    run.process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in everything), seconds=SLOW, what="the end of every child")


ALWAYS = {"web", "workers"}


@pytest.mark.parametrize(
    ("variables", "more"),
    [
        ({}, {"push", "alerts"}),
        ({"PRX_EMAIL_SUBMISSION_BIND": "127.0.0.1:2587"}, {"push", "alerts", "smtp"}),
        ({"PRX_EMAIL_SUBMISSION_TLS_BIND": "127.0.0.1:2465"}, {"push", "alerts", "smtp"}),
        ({"PRX_EMAIL_PUSH": "0", "PRX_EMAIL_ALERTS_SECONDS": "0"}, set()),
    ],
)
def test_the_settings_decide_which_parts_are_started(
    variables: dict[str, str], more: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.startswith("PRX_EMAIL_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    children = [child.name for child in commands(BindAddress("127.0.0.1", 8000))]
    assert set(children) == ALWAYS | more
    assert children.count("smtp") in (0, PROCESSES)
