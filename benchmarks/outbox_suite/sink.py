"""Postfix's smtp-sink behind Dovecot's submission server: what it has taken, and when it took the last of a run."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from benchmarks.frame import ROOT, Void, goes_with_us
from benchmarks.machine import PATH
from tests.servers.ports import ServerMissing, answers, wait_until

LOOK_EVERY = 0.002
RECIPIENT = b"\nX-Rcpt-Args: "  # smtp-sink writes one such line a recipient before each mail


class Sink:
    """smtp-sink in a process of its own, which appends every mail to one file."""

    def __init__(self, folder: Path, port: int) -> None:
        binary = shutil.which("smtp-sink", path=PATH)
        if not binary:
            raise ServerMissing("smtp-sink is missing: apt-get install postfix (its service need not run)")
        folder.chmod(0o777)  # as root it becomes the user postfix
        self.port, self.file = port, folder / "mails"
        command = [binary, "-u", "postfix", "-D", str(self.file), f"127.0.0.1:{port}", "256"]
        self._process = subprocess.Popen([*goes_with_us(), *command], cwd=ROOT)
        wait_until(lambda: answers(port), seconds=10, what="smtp-sink")

    def stop(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.wait()

    def size(self) -> int:
        """Where a run begins in the file."""
        return self.file.stat().st_size if self.file.exists() else 0

    def wait_for(self, count: int, start: int, seconds: float) -> float:
        """The time (time.monotonic) at which so many mails had been taken since `start`; raises Void."""
        end, found, rest = time.monotonic() + seconds, 0, b"\n"
        while not self.file.exists() and time.monotonic() < end:
            time.sleep(LOOK_EVERY)
        if not self.file.exists():
            raise Void(f"the sink took none of {count} mails in {seconds:g} s")
        with self.file.open("rb") as file:
            file.seek(start)
            while True:
                fresh = rest + file.read()
                found += fresh.count(RECIPIENT)
                rest = fresh[fresh.rfind(b"\n") :]
                if found >= count:
                    return time.monotonic()
                if time.monotonic() > end:
                    raise Void(f"the sink took {found} of {count} mails in {seconds:g} s")
                time.sleep(LOOK_EVERY)

    def check(self, subjects: list[str], start: int) -> None:
        """Every mail since `start` exactly once, or the figure is void."""
        with self.file.open("rb") as file:
            file.seek(start)
            taken = Counter(found.decode() for found in re.findall(rb"(?m)^Subject: (.+?)\r?$", file.read()))
        wanted = Counter(subjects)
        if taken != wanted:
            missing, extra = (wanted - taken).total(), (taken - wanted).total()
            raise Void(f"{missing} mails never reached the sink, {extra} more than once")
