"""Real processes with Django set up, forked from one that waits with everything imported: to start a Python costs a
second of computing, and there are hundreds.

As a program it is that one: a line of JSON asks for a process or how one ended, a line answers.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from typing import Any

from prx_email_site.parent_death import kill_forks_with_their_parent
from tests.servers.site import ROOT, environment

LOOK_SECONDS = 0.005
# As it was before any test: the one that waits outlives the test that starts it, and what that test has set.
_GIVEN = dict(os.environ)


class Forked:
    """What `python -c CODE ARGUMENT...` would be, with the test database."""

    def __init__(self, code: str, *arguments: object) -> None:
        self._returncode: int | None = None
        self.pid: int = _ask(code=code, arguments=[str(each) for each in arguments])

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        if self._returncode is None:
            self._returncode = _ask(ended=self.pid)
        return self._returncode

    def wait(self, seconds: float = 60) -> int:
        """Its exit status, negative for a signal, as subprocess has it; raises TimeoutError."""
        end = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"The process did not end within {seconds:g} s.")
            time.sleep(LOOK_SECONDS)
        return status


_template: subprocess.Popen[str] | None = None


def _ask(**asked: object) -> Any:
    global _template
    if _template is None:
        command = [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid())]
        command += [sys.executable, "-m", "tests.servers.forked"]
        pipe, given = subprocess.PIPE, environment()
        given = _GIVEN | {name: given[name] for name in ("DJANGO_SETTINGS_MODULE", "DATABASE_URL")}
        _template = subprocess.Popen(command, cwd=ROOT, env=given, stdin=pipe, stdout=pipe, text=True)
        atexit.register(_template.terminate)
    assert _template.stdin and _template.stdout
    _template.stdin.write(json.dumps(asked) + "\n")
    _template.stdin.flush()
    return json.loads(_template.stdout.readline())


def _answers() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a process prints does not get between the answers
    for line in sys.stdin:
        asked = json.loads(line)
        answer: int | None = None
        if "code" in asked:
            answer = os.fork()
            if answer == 0:
                answers.close()
                _run(asked["code"], asked["arguments"])
        else:
            pid, status = os.waitpid(asked["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _run(code: str, arguments: list[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["-c", *arguments]
    try:
        exec(compile(code, "<forked>", "exec"), {"__name__": "__main__"})
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    import django

    django.setup()
    import outbox.tasks.delivery  # noqa: F401

    kill_forks_with_their_parent()
    _answers()
