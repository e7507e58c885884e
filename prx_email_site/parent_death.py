"""Ends child processes with their parent: the kernel sends them a signal when the parent dies (Linux, prctl(2)).

As a program, `python -m prx_email_site.parent_death PARENT_PID COMMAND...`, it requests SIGTERM and executes COMMAND;
the request survives exec. It is a program, as a `preexec_fn` may deadlock in a parent with threads.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def die_with_parent(signal_number: int, parent: int) -> None:
    """Have the kernel send this process `signal_number` when its parent dies, or at once if it is dead already.

    parent: the parent's pid, as the parent told it.
    """
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the parent must end its children itself
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it died before the request
        os.kill(os.getpid(), signal_number)


def kill_forks_with_their_parent() -> None:
    """From now on each process that is forked here, or by such a process, is killed when its parent dies."""
    parent = os.getpid()

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with_parent(signal.SIGKILL, parent))


def adopt_orphans() -> None:
    """From now on a descendant whose parent dies becomes this process's child, so that its end can be noticed."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


if __name__ == "__main__":
    die_with_parent(signal.SIGTERM, int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the launcher's own command line
