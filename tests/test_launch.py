"""`make run`, as a person starts and stops it: real processes, a data folder of their own, a free port."""

from __future__ import annotations

import http.client
import os
import runpy
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from prx_email_site import launch as launch_module
from tests.servers.ports import free_ports, wait_until
from tests.servers.site import ROOT, children_of

PASSWORD = "correct-horse-battery"
SLOW = 300.0  # seconds; a fresh installation took 90 beside other work


@dataclass
class Run:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        wait_until(lambda: "Ready: " in self.output() or self.process.poll() is not None, seconds=SLOW, what="the site")
        assert self.process.poll() is None, self.output()

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def descendants(self) -> list[int]:
        return children_of(self.process.pid)

    def workers(self) -> list[int]:
        """The cluster's processes, the cluster first."""
        return [pid for pid in self.descendants() if "qcluster" in command_line(pid)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


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


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def clean_environment() -> dict[str, str]:
    """One that holds nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRX_EMAIL_")}
    for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE"):
        kept.pop(name, None)
    return kept


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after a first start, for the tests that are not about it."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    variables = {"PRX_EMAIL_DATA_DIR": str(folder), "PRX_EMAIL_ADMIN_PASSWORD": PASSWORD}
    environment = {**clean_environment(), **variables}
    subprocess.run([sys.executable, "manage.py", "prepare"], cwd=ROOT, env=environment, check=True)
    return folder


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start the launcher on `tmp_path/data`, SQLite; with a copy of `data` there if that is given."""
    runs: list[Run] = []

    def start(data: Path | None = None, **variables: str) -> Run:
        if data is not None:
            shutil.copytree(data, tmp_path / "data")
        clean, port = clean_environment(), free_ports(1)[0]
        ours = {"PRX_EMAIL_DATA_DIR": str(tmp_path / "data"), "PRX_EMAIL_BIND": f"127.0.0.1:{port}"}
        log = tmp_path / f"run-{len(runs)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "prx_email_site.launch"],
                cwd=ROOT,
                env={**clean, **ours, "PRX_EMAIL_WORKERS": "1", **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        runs.append(Run(process, port, log))
        return runs[-1]

    yield start
    for run in runs:
        left = run.descendants()
        run.process.kill()
        run.process.wait()
        for pid in left:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


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


def test_a_port_that_is_taken_is_said_in_a_sentence(launch: Callable[..., Run]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        run = launch(PRX_EMAIL_BIND=bind)
        assert run.process.wait(SLOW) == 1
    assert f"Cannot listen on {bind}" in run.output()
    assert "PRX_EMAIL_BIND" in run.output()


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
