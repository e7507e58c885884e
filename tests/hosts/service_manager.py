"""systemctl as far as the lines of docs/operations.md need it where systemd is not process 1: `enable --now`, `start`,
`stop`, `restart` of unit files of /etc/systemd/system with their .d folders; of Debian's postgresql and redis-server.

Of a unit it does EnvironmentFile, User, UMask, WorkingDirectory, ExecStartPre, ExecStart, Restart, AmbientCapabilities
and, for the folders that a host has of its own, ProtectSystem=strict with ReadWritePaths. Run as root within a host.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

UNITS, STATE, JOURNAL = Path("/etc/systemd/system"), Path("/run/units"), Path("/var/log")
OWN_FOLDERS = "^/(etc|opt|srv|var/lib)"  # what a host of these tests has mounted of its own
# Nothing but the paths that are named may be written to: a mount that is named lies upon one that is read-only.
CONFINED = """
umask {umask}
for each in $(findmnt -rno TARGET | grep -E "{folders}"); do mount -o remount,bind,ro "$each"; done
for each in {writable}; do mount --bind "$each" "$each"; mount -o remount,bind,rw "$each"; done
exec "$@"
"""


def directives(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in (UNITS / f"{unit}.service", *sorted((UNITS / f"{unit}.service.d").glob("*.conf"))):
        for line in path.read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                name, value = line.split("=", 1)
                found[name].append(value)
    return found


def environment(said: dict[str, list[str]]) -> dict[str, str]:
    lines = [line for path in said["EnvironmentFile"] for line in Path(path).read_text().splitlines()]
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    home = {"HOME": pwd.getpwnam(said["User"][0]).pw_dir, "LANG": "C.UTF-8"}
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **home, **given}


def confined(said: dict[str, list[str]], command: str) -> list[str]:
    assert said["ProtectSystem"] == ["strict"]
    (user,) = said["User"]
    script = CONFINED.format(umask=said["UMask"][0], folders=OWN_FOLDERS, writable=" ".join(said["ReadWritePaths"]))
    caps = [f"+{each.removeprefix('CAP_').lower()}" for each in said["AmbientCapabilities"]]
    bounded = [f"--{kind}-caps={','.join(caps)}" for kind in ("inh", "ambient") if caps]
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs", *bounded]
    return ["unshare", "--mount", "sh", "-ec", script, unit_name(command), *as_user, *shlex.split(command)]


def unit_name(command: str) -> str:
    return Path(shlex.split(command)[0]).name


def supervise(unit: str) -> None:
    """Until it is asked to stop: prepare, start, and start again."""
    said = directives(unit)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    where, given = said["WorkingDirectory"][0], environment(said)
    again = "on-failure" in said["Restart"] or "always" in said["Restart"]
    while not asked:
        for command in said["ExecStartPre"]:
            subprocess.run(confined(said, command), cwd=where, env=given, check=True)
        process = subprocess.Popen(confined(said, said["ExecStart"][0]), cwd=where, env=given)
        (STATE / unit).write_text(str(os.getpid()))
        while process.poll() is None:
            if asked:
                process.terminate()
                process.wait(float(said["TimeoutStopSec"][0] if said["TimeoutStopSec"] else 90))
                break
            time.sleep(0.1)
        if not again:
            break
        time.sleep(0 if asked else float((said["RestartSec"] or ["0.1"])[0]))


def start(unit: str) -> None:
    if unit in PACKAGES:
        PACKAGES[unit]()
        return
    (STATE / unit).unlink(missing_ok=True)
    with (JOURNAL / f"{unit}.log").open("ab") as journal:
        process = subprocess.Popen(
            [sys.executable, __file__, "supervise", unit], stdout=journal, stderr=journal, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    while not (STATE / unit).exists():
        if process.poll() is not None:
            sys.exit(f"{unit} does not start: {(JOURNAL / f'{unit}.log').read_text()[-3000:]}")
        time.sleep(0.1)


def stop(unit: str) -> None:
    pid = int((STATE / unit).read_text())
    os.kill(pid, signal.SIGTERM)
    while Path(f"/proc/{pid}").exists() and not re.search(r"\) Z", Path(f"/proc/{pid}/stat").read_text()):
        time.sleep(0.1)


def restart_postgresql() -> None:
    (version,) = os.listdir("/etc/postgresql")
    subprocess.run(["pg_ctlcluster", "--skip-systemctl-redirect", version, "main", "restart"], check=True)


def restart_redis() -> None:
    as_user = ["setpriv", "--reuid=redis", "--regid=redis", "--init-groups"]
    subprocess.Popen([*as_user, "redis-server", "/etc/redis/redis.conf"], start_new_session=True)


PACKAGES = {"postgresql": restart_postgresql, "redis-server": restart_redis}


def main(verb: str, *words: str) -> None:
    STATE.mkdir(exist_ok=True)
    units = [word for word in words if not word.startswith("--")]
    if verb == "supervise":
        supervise(*units)
    elif verb == "enable":
        assert words[0] == "--now"
        for unit in units:
            start(unit)
    elif verb != "daemon-reload":
        for unit in units:
            {"start": start, "restart": start, "stop": stop}[verb](unit)


if __name__ == "__main__":
    main(*sys.argv[1:])
