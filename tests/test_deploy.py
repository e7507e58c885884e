"""The files under deploy/: what they start exists, what they set is read, and their own tools take them."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import yaml
from django.core.management import get_commands
from django.core.wsgi import get_wsgi_application
from django.urls import resolve

from tests.conftest import missing
from tests.hosts.document import block
from tests.read_sources import ROOT
from tests.servers.certificates import Certificates
from tests.servers.ports import free_ports
from tests.servers.proxies import caddy, nginx

DEPLOY = Path(ROOT, "deploy")
OPERATIONS = Path(ROOT, "docs/operations.md").read_text()
PARTS = {
    name: shlex.split(command.removeprefix(".venv/bin/"))
    for name, command in re.findall(r"^\| (\w+) \| `(\.venv/bin/python [^`]+)`", OPERATIONS, re.MULTILINE)
}
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: each for name, each in COMPOSE["services"].items() if each["image"] == "prx-email"}


def test_the_parts_are_those_of_the_operations_page() -> None:
    assert set(PARTS) == {"prepare", "web", "workers", "push", "alerts", "submission"}
    assert {path.stem.removeprefix("prx-email-") for path in UNITS} == set(PARTS) - {"prepare"}
    assert set(OURS) == set(PARTS)


def directives(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_its_part_as_the_operations_page_says_and_gives_it_no_more_than_it_needs(unit: Path) -> None:
    said = directives(unit)
    part = unit.stem.removeprefix("prx-email-")
    assert shlex.split(said["ExecStart"].removeprefix("/opt/prx-email/.venv/bin/")) == PARTS[part]
    assert said["ExecStart"].startswith(said["WorkingDirectory"])
    # After a status that is none of a fault's, too: a cluster that hangs ends itself.
    assert said["Restart"] == ("on-failure" if part == "web" else "always")
    # systemd gives up after five starts within ten seconds, its defaults: so `prepare` beside a database that is away.
    assert 5 * int(said["RestartSec"]) > 10 and not any(name.startswith("StartLimit") for name in said)
    assert (said["User"], said["UMask"], said["ProtectSystem"]) == ("prx-email", "0077", "strict")
    assert said["ReadWritePaths"] == settings_of(DEPLOY / "environment.example")["PRX_EMAIL_DATA_DIR"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is missing: apt-get install systemd")
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/prx-email", str(ROOT)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def settings_of(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if line and not line.startswith("#"))


def test_an_upgrade_stops_each_part_but_the_pages_before_the_code_changes_and_starts_all_anew() -> None:
    first, pull, *then = block("Upgrade", "systemctl stop").splitlines()
    parts = {unit.stem for unit in UNITS}
    assert set(re.findall(r"prx-email-\w+", first)) == parts - {"prx-email-web"}
    assert pull == "cd /opt/prx-email && git pull && make setup"
    assert set(re.findall(r"prx-email-\w+", "\n".join(then))) == parts


def test_commands_have_the_user_and_the_environment_of_the_units_to_the_letter(tmp_path: Path) -> None:
    """A shell that reads the file would take the password apart; systemd does not."""
    said = {"DATABASE_URL": "postgres://a:p$HOME&b'c\"`d;e@db/prx", "PRX_EMAIL_SSO_LABEL": "Sign in  here"}
    lines = ["# PRX_EMAIL_BIND=of a comment", "", *(f"{name}={value}" for name, value in said.items())]
    (tmp_path / "environment").write_text("\n".join(lines))
    project = tmp_path / "project"
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    (project / "manage.py").write_text("import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))")
    script = (DEPLOY / "manage").read_text().replace("/opt/prx-email", str(project))
    script = script.replace("/etc/prx-email/environment", str(tmp_path / "environment"))
    script = script.replace("-u prx-email", f"-u {getuser()}").replace("passwd prx-email", f"passwd {getuser()}")
    done = subprocess.run(
        ["sh", "-c", script, "manage", "send", "a b", "$c"], capture_output=True, text=True, check=True
    )
    arguments, environment = json.loads(done.stdout)
    assert arguments == ["send", "a b", "$c"]
    assert {name: environment.get(name) for name in said} == said and "PRX_EMAIL_BIND" not in environment
    assert environment["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    assert os.access(DEPLOY / "manage", os.X_OK)


def documented() -> set[str]:
    names = re.findall(r"^\| (`[^|]+) \|", OPERATIONS, re.MULTILINE)
    return {name for cell in names for name in re.findall(r"`(\w+)`", cell)}


def test_what_the_files_set_is_in_the_table_of_settings() -> None:
    said = {name.removesuffix("_FILE") for name in settings_of(DEPLOY / "environment.example")}
    said |= {name.removesuffix("_FILE") for each in OURS.values() for name in each["environment"]}
    said |= {name for name in image_environment() if name.startswith("PRX_EMAIL_")}
    assert said - documented() == set() and len(said) > 8


@pytest.mark.parametrize("name", OURS)
def test_a_container_starts_its_part_and_may_write_to_its_volume_alone(name: str) -> None:
    service = OURS[name]
    command = service.get("command") or instruction("CMD")
    assert command[:3] == PARTS[name][:3]
    assert command[1] == "-m" or command[2] in get_commands()
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["volumes"] == [f"data:{image_environment()['PRX_EMAIL_DATA_DIR']}"]
    # A file of a secret that is not handed in is an error at the start.
    files = [value for key, value in service["environment"].items() if str(value).startswith("/run/secrets/")]
    assert {Path(each).name for each in files} == set(service["secrets"])
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])
    # The image's health check asks the web server.
    assert service.get("healthcheck", {}).get("disable", False) is (name != "web")


def test_workers_in_containers_and_in_units_have_as_long_to_drain_as_an_attempt_may_take(settings: Any) -> None:
    assert OURS["workers"]["stop_grace_period"] == f"{960 // 60}m"
    assert directives(DEPLOY / "systemd/prx-email-workers.service")["TimeoutStopSec"] == "960"
    assert settings.TASK_TIMEOUT_SECONDS < 960


def instructions() -> list[tuple[str, str]]:
    """Of the image that runs: what follows the last FROM."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.rpartition("\nFROM ")[2].splitlines()[1:] if line.strip()]
    return [(word, rest.strip()) for word, rest in lines]


def instruction(word: str) -> Any:
    found = dict(instructions())[word]
    return json.loads(found) if found.startswith("[") else found


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in instruction("ENV").split())


def test_the_image_runs_the_web_server_as_nobody_and_asks_it_how_it_is() -> None:
    assert instruction("USER") == "10001:10001"
    assert instruction("VOLUME") == image_environment()["PRX_EMAIL_DATA_DIR"]
    web = instruction("CMD")
    assert [word for word in PARTS["web"] if word not in web] == ["127.0.0.1:8000"]
    assert web[web.index("--bind") + 1] == f"0.0.0.0:{instruction('EXPOSE')}"
    address = re.search(r"http://[^']+", instruction("HEALTHCHECK"))
    assert address and resolve(urlsplit(address[0]).path).url_name == "health_live"


def test_the_image_has_all_that_runs_and_no_more() -> None:
    # COPY keeps modes: what a umask of 077 checked out is closed to the user that runs it.
    assert "&& chmod -R a+rX .\n" in (DEPLOY / "Dockerfile").read_text().partition("COPY . .")[2]
    left_out = set((Path(ROOT, ".dockerignore")).read_text().split())
    packages = {path.parent.name for path in Path(ROOT).glob("*/__init__.py")}
    assert packages - left_out == {"mailbox", "outbox", "alerts", "people", "api", "prx_email_site"}
    assert {"deploy", "var", ".*"} <= left_out


def test_the_image_can_back_up_the_database_of_the_compose_file() -> None:
    """pg_dump refuses a server that is newer, and an older server refuses what a newer pg_restore says."""
    versions = {"bookworm": "15", "trixie": "17"}  # of postgresql-client in each release of Debian
    base = re.search(r"\nARG BASE=docker.io/library/debian:(\w+)-slim\n", (DEPLOY / "Dockerfile").read_text())
    assert base and COMPOSE["services"]["postgres"]["image"] == f"docker.io/library/postgres:{versions[base[1]]}"
    assert " postgresql-client " in instruction("RUN")


def test_no_secret_of_an_installation_is_committed_or_gets_into_the_image() -> None:
    assert {Path(each["file"]).parent.name for each in COMPOSE["secrets"].values()} == {"secrets"}
    assert "deploy/secrets/" in Path(ROOT, ".gitignore").read_text().split()
    assert "deploy" in Path(ROOT, ".dockerignore").read_text().split()


@contextmanager
def the_site() -> Iterator[int]:
    """Our own WSGI application, on a port; it answers what needs no database."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None: ...

    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.pages
@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_a_proxy_passes_pages_on_as_encrypted_whatever_the_client_says(
    proxy: Any, tmp_path: Path, certificates: Certificates, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_PROXY_SSL_HEADER = True, ("HTTP_X_FORWARDED_PROTO", "https")
    settings.ALLOWED_HOSTS = ["localhost"]
    (port,) = free_ports(1)
    with the_site() as site, proxy(tmp_path, port, site, certificates):
        connection = http.client.HTTPSConnection("localhost", port, context=certificates.client_context(), timeout=120)
        connection.request("GET", "/static/css/base.css", headers={"X-Forwarded-Proto": "http"})
        answer = connection.getresponse()
        # The site sends whom it takes for unencrypted to https.
        assert (answer.status, answer.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
        assert answer.read() == Path(ROOT, "prx_email_site/static/css/base.css").read_bytes()
        for path in ("/password/link/a-secret/", "/profile/email/another-secret/"):
            connection.request("GET", path, headers={"X-Forwarded-Proto": "http"})
            assert connection.getresponse().read() is not None
    logged = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert "secret" not in logged and ("base.css" in logged or proxy is caddy)
