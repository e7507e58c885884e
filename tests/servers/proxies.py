"""The proxies of deploy/, as their files configure them, in front of a site of a test."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

from tests.conftest import missing
from tests.read_sources import ROOT
from tests.servers.certificates import Certificates
from tests.servers.ports import answers, wait_until

DEPLOY = Path(ROOT, "deploy")


@contextmanager
def nginx(folder: Path, port: int, site: int, certificates: Certificates) -> Iterator[None]:
    """deploy/nginx.conf with this port, certificate and site in place of its own; all else as it stands."""
    text = (DEPLOY / "nginx.conf").read_text().replace("http://127.0.0.1:8000", f"http://127.0.0.1:{site}")
    text = re.sub(r"\n    listen \[::\][^\n]+", "", text)
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    text = text.replace("listen 80;", f"listen unix:{folder}/plain;")
    text = re.sub(r"(ssl_certificate) [^;]+", rf"\1 {certificates.certificate}", text)
    text = re.sub(r"(ssl_certificate_key) [^;]+", rf"\1 {certificates.key}", text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        # As root it would have its workers be nobody, who may not write a large request into this folder.
        f"user {getuser()}; daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log {folder}/access.log; {temporary}\n{text}\n}}"
    )
    with running(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], port):
        yield


@contextmanager
def caddy(folder: Path, port: int, site: int, certificates: Certificates) -> Iterator[None]:
    text = (DEPLOY / "Caddyfile").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{site}")
    text = text.replace(
        "mail.example.org {", f"https://localhost:{port} {{\n\ttls {certificates.certificate} {certificates.key}"
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    with running(["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], port):
        yield


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    if shutil.which(command[0]) is None:
        missing(f"{command[0]} is missing: apt-get install {command[0]}")
    process = subprocess.Popen(["setpriv", "--pdeathsig=KILL", *command], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: answers(port) or process.poll() is not None, seconds=30, what=command[0])
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield
    finally:
        process.terminate()
        process.communicate()
