"""The image of deploy/Dockerfile, and the services of deploy/compose.yaml that it runs, by podman: without a daemon.

What a service says of its root, user, privileges, secrets and mounts becomes an option each; its network is a network
namespace of the caller's. Podman's store lies in a folder of its own. All of it takes root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.servers.ports import ServerMissing
from tests.servers.site import ROOT

DOCKERFILE = ROOT / "deploy/Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
TOOLS = ("podman", "runc", "catatonit", "debootstrap")
# Podman would raise limits to the most there is, which not every root may.
LIMITS = {"nofile": 4096, "nproc": 4096}
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


class PodmanFailed(RuntimeError):
    """Podman ended with another status than 0; its words."""


class NoContainers(Exception):
    """The tools are here, but this machine runs no container; why."""


class Podman:
    def __init__(self, folder: Path) -> None:
        absent = [tool for tool in TOOLS if not shutil.which(tool)]
        if os.geteuid() or absent:
            raise ServerMissing(f"Containers take root, and {', '.join(TOOLS)}: apt-get install {' '.join(absent)}")
        self.folder = folder
        self._command = [
            "podman", f"--root={folder}/store", f"--runroot={folder}/run", f"--tmpdir={folder}/tmp",
            "--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=runc",
        ]  # fmt: skip

    def __call__(self, *words: str) -> str:
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise PodmanFailed(f"podman {' '.join(words[:4])} …: {(done.stdout + done.stderr).strip()[-3000:]}")
        return done.stdout

    def says_yes(self, *words: str) -> bool:
        with contextlib.suppress(PodmanFailed):
            self(*words)
            return True
        return False

    def remove_all(self) -> None:
        for words in (["rm", "--all", "--force", "--time=0"], ["rmi", "--all", "--force"], ["volume", "prune", "-f"]):
            self.says_yes(*words)
        subprocess.run(["umount", str(self.folder / "store/overlay")], capture_output=True)

    # --- The image ----------------------------------------------------------------------------------------------
    def make_base(self) -> str:
        """The Dockerfile's base, from Debian's packages: no registry is asked. Raises ServerMissing."""
        name = re.search(r"^ARG BASE=(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
        release = re.search(r":(\w+)-slim$", name[1] if name else "")
        assert name and release
        base = self.folder / "base"
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", release[1], str(base)], capture_output=True, text=True
        )
        if done.returncode:
            raise ServerMissing(f"debootstrap: {done.stdout[-500:]}{done.stderr[-500:]}")
        # Whom this machine trusts, the build's pip trusts.
        shutil.copy(AUTHORITIES, base / "etc/authorities.crt")
        (base / "etc/pip.conf").write_text("[global]\ncert = /etc/authorities.crt\n")
        archive = self.folder / "base.tar"
        subprocess.run(["tar", "-C", str(base), "-cf", str(archive), "."], check=True)
        self("import", "--quiet", str(archive), name[1])
        shutil.rmtree(base)
        archive.unlink()
        return name[1]

    def build(self) -> None:
        """deploy/Dockerfile as compose.yaml tags it. The format is that which has health checks."""
        self(
            "build", "--isolation=chroot", "--network=host", "--format=docker", "--pull=never",
            f"--tag={COMPOSE['services']['prepare']['image']}", f"--file={DOCKERFILE}", str(ROOT),
        )  # fmt: skip

    # --- Services of compose.yaml -------------------------------------------------------------------------------
    def start(self, name: str, namespace: str, secrets: Path, environment: Mapping[str, str], *also: str) -> str:
        """Run this service as compose.yaml says, with some variables of the caller's; returns what it printed if it is
        one that ends. `also`: further options."""
        service = COMPOSE["services"][name]
        ends = service.get("restart") == "no"
        return self(
            "run", f"--name={name}", f"--network=ns:/run/netns/{namespace}", *([] if ends else ["--detach"]),
            *_options(service, secrets, environment), *also, service["image"], *service.get("command", []),
        )  # fmt: skip


def _options(service: Mapping[str, Any], secrets: Path, environment: Mapping[str, str]) -> Iterator[str]:
    yield f"--hostname={service['hostname']}"
    if service.get("read_only"):
        # Without the tmpfs that podman gives, and docker does not.
        yield from ("--read-only", "--read-only-tmpfs=false")
    if service.get("init"):
        yield f"--init-path={shutil.which('catatonit')}"
        yield "--init"
    for option, values in (
        ("tmpfs", service.get("tmpfs", ())),
        ("cap-drop", service.get("cap_drop", ())),
        ("security-opt", [each.removesuffix(":true") for each in service.get("security_opt", ())]),
        ("volume", service["volumes"]),
        ("volume", [f"{secrets / each}:/run/secrets/{each}:ro" for each in service["secrets"]]),
        ("ulimit", _limits(service.get("ulimits", {}))),
        ("env", _variables(service["environment"] | environment)),
    ):
        yield from (f"--{option}={value}" for value in values)


def _limits(chosen: Mapping[str, int]) -> list[str]:
    return [f"{name}={most}:{most}" for name, most in (LIMITS | chosen).items()]


def _variables(environment: Mapping[str, str]) -> Iterable[str]:
    assert not [value for value in environment.values() if value.startswith("${")]
    return [f"{name}={value}" for name, value in environment.items()]


@contextmanager
def podman(folder: Path) -> Iterator[Podman]:
    """With the image built. Raises ServerMissing or NoContainers."""
    found = Podman(folder)
    try:
        base = found.make_base()
        try:
            found("run", "--rm", "--network=none", *(f"--ulimit={each}" for each in _limits({})), base, "true")
        except PodmanFailed as error:
            raise NoContainers(f"This machine runs no container: {error}") from error
        found.build()
        yield found
    finally:
        found.remove_all()
