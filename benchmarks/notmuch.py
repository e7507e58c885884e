"""The peer of a first sync: mbsync into a Maildir and then `notmuch new`, which parses and indexes (Xapian).

Together they do what our first sync does, in C and C++; mbsync alone copies files and knows nothing of what is in them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence

from benchmarks.frame import Void
from benchmarks.mbsync import Mbsync

CONFIG = """
[database]
path={folder}/mail
[user]
name=Bench
primary_email=bench@example.test
[new]
tags=new
[maildir]
synchronize_flags=true
"""


class MbsyncThenNotmuch:
    """One mailbox pulled by an Mbsync that has not run, and its mail indexed."""

    def __init__(self, mbsync: Mbsync) -> None:
        binary = shutil.which("notmuch")
        if not binary:
            raise SystemExit("notmuch is missing: apt-get install notmuch")
        self._mbsync, self._binary = mbsync, binary
        config = mbsync.folder / "notmuch-config"
        config.write_text(CONFIG.format(folder=mbsync.folder))
        self._environment = os.environ | {"NOTMUCH_CONFIG": str(config)}
        self.mbsync_seconds = 0.0

    def run(self) -> float:
        """Seconds of both commands; `mbsync_seconds` are those of the first."""
        self.mbsync_seconds = self._mbsync.run()
        begin = time.monotonic()
        self._notmuch("new", "--quiet")
        return self.mbsync_seconds + time.monotonic() - begin

    def check(self, count: int, words: Sequence[str]) -> None:
        """So many mails are indexed, and each of the words finds one. Raises Void otherwise."""
        if (found := self._count("*")) != count:
            raise Void(f"notmuch has indexed {found} of {count} mails")
        if missed := [word for word in words if self._count(word) != 1]:
            raise Void(f"notmuch does not find {missed}")

    def _count(self, query: str) -> int:
        return int(self._notmuch("count", "--exclude=false", query))

    def _notmuch(self, *arguments: str) -> str:
        done = subprocess.run([self._binary, *arguments], env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise Void(f"notmuch {arguments[0]} ended with status {done.returncode}: {done.stderr[-300:]}")
        return done.stdout
