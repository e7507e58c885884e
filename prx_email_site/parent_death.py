"""No process of ours outlives its parent: the kernel is asked to send a signal when the parent dies (Linux).

As a program, `python -m prx_email_site.parent_death PARENT_PID COMMAND...`, it asks for SIGTERM and becomes COMMAND;
the request survives exec. This is a program and not a `preexec_fn`, which may deadlock in a parent that has threads.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def die_with_parent(signal_number: int, parent: int) -> None:
    """Have the kernel send us `signal_number` when the parent, whose pid we were told, is gone or goes."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the parent's own tidiness must do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it died before the request
        os.kill(os.getpid(), signal_number)


def kill_forks_with_their_parent() -> None:
    """From now on every process forked here, and forked by those, is killed when its parent dies."""
    parent = os.getpid()

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with_parent(signal.SIGKILL, parent))


def adopt_orphans() -> None:
    """From now on a process below this one whose parent dies becomes our child, so that we see when it has ended."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


if __name__ == "__main__":
    die_with_parent(signal.SIGTERM, int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the launcher's own command line
