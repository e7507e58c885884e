"""A parser in a process of its own: `python -m mailbox.parsing.worker PARENT_PID`.

No Django, no secrets, no sockets.

Orders come by stdin: the CPU seconds and bytes that a mail may take, a list of what is to be known of each mail, then
their bytes, one after the other. Results go by stdout in the same order, each as its length and a pickle; the first
says only that we are here. It ends with its input, is killed with its parent, and has an end to the time and memory of
one mail.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, cast

from mailbox.parsing.parse_job import ParseJob, ParseResult

PR_SET_PDEATHSIG = 1  # prctl(2)
LENGTH = struct.Struct("<Q")
MB = 1024 * 1024
# Beside the given CPU seconds and bytes, which a mail of any size may take.
BYTES_PER_BYTE = 16
TWICE_AT = 20 * MB  # a mail of this size may take twice the time
GAVE_UP = "The parser used more time or memory for this message than any honest message needs."


def serve(jobs: IO[bytes], results: IO[bytes]) -> None:
    """Read jobs, a list of them at a time, until there are no more."""
    _say(results, "ready")
    while (head := jobs.read(LENGTH.size)) and len(head) == LENGTH.size:
        cpu_seconds, space, wanted = pickle.loads(jobs.read(LENGTH.unpack(head)[0]))  # noqa: S301 - our own parent's
        # All of it before the first answer: two that both write and neither reads would wait for each other.
        batch = [
            ParseJob(_mapped(path) if path else jobs.read(length), size, account, vendor, path, reader)
            for length, size, account, vendor, path, reader in wanted
        ]
        batch.reverse()
        while batch:
            _say(results, _read(batch.pop(), cpu_seconds, space))


def _mapped(path: str) -> bytes:
    """A large mail's bytes, which its worker has in a file: read from there as they are looked at."""
    with Path(path).open("rb") as file:
        return cast(bytes, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _say(results: IO[bytes], answer: object) -> None:
    words = pickle.dumps(answer.packed() if isinstance(answer, ParseResult) else answer, pickle.HIGHEST_PROTOCOL)
    results.write(LENGTH.pack(len(words)) + words)
    results.flush()


@cache
def _reader(name: str) -> Callable[[ParseJob], object]:
    module, _, function = name.partition(":")
    return cast(Callable[[ParseJob], object], getattr(import_module(module), function))


def _read(job: ParseJob, cpu_seconds: float, space: int) -> object:
    """The reading, or in words why there is none. The kernel ends us (SIGPROF) when it takes too long: CPU seconds,
    not seconds, since a busy machine makes no mail a hostile one."""
    size = len(job.raw)
    with contextlib.suppress(ValueError, OSError):  # a lower limit than ours is in force already
        resource.setrlimit(resource.RLIMIT_AS, (space + BYTES_PER_BYTE * size, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds * (1 + size / TWICE_AT))
    try:
        return _reader(job.reader)(job)
    except MemoryError:
        return GAVE_UP
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:500]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then lets us go
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the end of our input must do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request
        return
    with os.fdopen(os.dup(1), "wb") as results, os.fdopen(os.dup(0), "rb") as jobs:
        os.dup2(2, 1)  # what any library prints is no reading
        with contextlib.suppress(BrokenPipeError):
            serve(jobs, results)


if __name__ == "__main__":
    main(int(sys.argv[1]))
