"""A machine that is to whoever types on it as a fresh Debian: /etc, /opt, /srv, /run, /var/lib and /var/log of its own,
a host name, and a network of its own. Making one takes root."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.hosts import service_manager
from tests.servers.machines import Machine
from tests.servers.postgres import newest_binaries
from tests.servers.site import ROOT

OWN = ("etc", "opt", "srv", "run", "var/lib", "var/log")
NOT_THERE_YET = ("etc/prx-email", "etc/systemd/system", "etc/postgresql")
STAND_INS = {
    "apt-get": """
[ "$1" = install ] && [ $# -gt 1 ]
made() {{ user=$1; shift; install -d -o $user -g $user "$@"; }}
case "$(hostname) $*" in
    db*postgresql*)  # what Debian's packages make
        made postgres /run/postgresql /var/lib/postgresql /var/log/postgresql /etc/postgresql
        pg_createcluster {postgresql} main
        pg_ctlcluster --skip-systemctl-redirect {postgresql} main start ;;
    db*redis-server*) made redis /run/redis /var/lib/redis /var/log/redis ;;
esac""",
    # With the packages that are installed here, as those of another lock would be installed into them.
    "make": '[ "$*" = setup ] && ln -sfn {venv} .venv && touch -d @0 requirements.lock && exec {make} setup',
    "scp": (
        '[ "$1" = -p ] && shift; for to; do :; done; for each; do case "$each" in *:*) '
        'cp --preserve=mode,timestamps {hosts}/"${{each%%:*}}"${{each#*:}} "$to" ;; esac; done'
    ),
    "systemctl": 'exec {python} {manager} "$@"',
}


class Host:
    """hosts: a folder in which each host has one of its own, by its name. names: host name -> address, of all."""

    def __init__(self, machine: Machine, hosts: Path, names: Mapping[str, str]) -> None:
        self.machine, self.name, self.folder = machine, machine.name, hosts / machine.name
        self._bin = hosts / "bin"
        for each in OWN:
            (self.folder / each).mkdir(parents=True)
        subprocess.run(["cp", "--archive", "/etc/.", self.folder / "etc"], check=True)
        for each in NOT_THERE_YET:
            shutil.rmtree(self.folder / each, ignore_errors=True)
        (self.folder / "etc/systemd/system").mkdir(parents=True)
        with (self.folder / "etc/hosts").open("a") as file:
            file.writelines(f"{address} {name}\n" for name, address in names.items())
        self._stand_ins(hosts)
        self.holder = self._hold()

    def _stand_ins(self, hosts: Path) -> None:
        self._bin.mkdir(exist_ok=True)
        known = {"venv": Path(sys.prefix).resolve(), "python": sys.executable, "hosts": hosts}
        known["make"] = shutil.which("make") or ""
        known["postgresql"] = newest_binaries().parent.name
        for name, script in STAND_INS.items():
            path = self._bin / name
            path.write_text(f"#!/bin/sh -e\n{script.format(**known, manager=service_manager.__file__)}\n")
            path.chmod(0o755)

    def _hold(self) -> int:
        """A process that keeps the machine's mounts and name; its number."""
        lines = [f"mount --bind {self.folder / each} /{each}" for each in OWN]
        lines += self._opened({Path(path).resolve() for path in (sys.base_prefix, sys.prefix)})
        script = "\n".join([f"hostname {self.name}", *lines, "echo held", "exec sleep infinity"])
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.machine.namespace, "unshare", "--mount", "--uts", "--propagation=private",
             "setpriv", "--pdeathsig=KILL", "sh", "-ec", script],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        self.machine.started.append(process)
        return process.pid

    def _opened(self, paths: set[Path]) -> list[str]:
        """Lines that make these paths readable to all where a folder above one is closed, as /root is."""
        first, then = [], {}
        for path in sorted(paths):
            closed = [each for each in reversed(path.parents) if not each.stat().st_mode & 0o001]
            if closed:
                top = self.folder / "opened" / closed[0].relative_to("/")
                within = top / path.relative_to(closed[0])
                within.mkdir(parents=True, exist_ok=True)
                first.append(f"mount --bind {path} {within}")
                then[top] = f"mount --rbind {top} {closed[0]}"
        return [*first, *then.values()]

    def type(self, lines: str) -> str:
        """What root types there, in a shell that ends at the first failure; returns what it says."""
        inside = ["nsenter", f"--target={self.holder}", "--mount", "--net", "--uts"]
        given = {"PATH": f"{self._bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        with (self.folder / "typed.log").open("ab+") as said:
            begin = said.seek(0, 2)
            done = subprocess.run(
                [*inside, "sh", "-e", "-c", lines],
                cwd="/",
                env=given,
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
            )
            said.seek(begin)
            text = said.read().decode(errors="replace")
        assert done.returncode == 0, f"{self.name}: {lines}\n{text[-5000:]}"
        return text

    def manage(self, command: str) -> str:
        """manage.py as docs/operations.md has it: as the service's user, with its environment."""
        return self.type(f"/opt/prx-email/deploy/manage {command}")

    def journal(self, unit: str) -> str:
        return (self.folder / "var/log" / f"{unit}.log").read_text(errors="replace")

    def journals(self) -> str:
        paths = sorted((self.folder / "var/log").glob("prx-email-*.log"))
        return "".join(f"--- {self.name} {path.name}\n{path.read_text(errors='replace')[-2500:]}" for path in paths)


def repository(folder: Path) -> Path:
    """A repository of the files as they lie here, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    commit(folder, "as it is")
    return folder


def commit(folder: Path, subject: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.test"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", subject]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
