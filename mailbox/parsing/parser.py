"""The parser process: `python -m mailbox.parsing.parser PARENT_PID`. No Django, no secrets, no sockets.

It reads batches from stdin: the length of a pickle; the pickle (the CPU seconds and bytes that a message may use, and
the fields of each job); then the messages' bytes, one after the other. It writes the results to stdout in the same
order, each as a length and a pickle; a first one only says that the process is ready.

It ends at the end of its input, is killed with its parent, and limits CPU time and memory for each message.
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
# A large message may use more than the given CPU seconds and bytes: so much in addition, by its size.
BYTES_PER_BYTE = 16
TWICE_AT = 20 * MB  # a message of this size may use twice the time
GAVE_UP = "The parser used more time or memory for this message than any honest message needs."


def serve(jobs: IO[bytes], results: IO[bytes]) -> None:
    """Read batches of jobs and write their results until the input ends."""
    _say(results, "ready")
    while (head := jobs.read(LENGTH.size)) and len(head) == LENGTH.size:
        cpu_seconds, space, wanted = pickle.loads(jobs.read(LENGTH.unpack(head)[0]))  # noqa: S301 - our own parent's
        # The whole batch is read before the first result is written. Otherwise a deadlock is possible: both processes
        # write into full pipes and neither reads.
        batch = [
            ParseJob(_mapped(path) if path else jobs.read(length), size, account, vendor, path, reader)
            for length, size, account, vendor, path, reader in wanted
        ]
        batch.reverse()
        while batch:
            _say(results, _read(batch.pop(), cpu_seconds, space))


def _mapped(path: str) -> bytes:
    """The bytes of a large message that lies in a file, memory-mapped, so that only the pages in use are read."""
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
    """The reader's result, or a str that says why there is none.

    When it takes too long, SIGPROF ends this process. The limit is CPU time, not elapsed time, since on a busy machine
    a harmless message takes long too.
    """
    size = len(job.raw)
    with contextlib.suppress(ValueError, OSError):  # a lower hard limit is in force already
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
    """Serve jobs from standard input, with results on standard output, until the input or the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    with contextlib.suppress(OSError, AttributeError):  # not Linux: there the end of the input must suffice
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before prctl() was called
        return
    with os.fdopen(os.dup(1), "wb") as results, os.fdopen(os.dup(0), "rb") as jobs:
        os.dup2(2, 1)  # a library's print() must not get among the results
        with contextlib.suppress(BrokenPipeError):
            serve(jobs, results)


if __name__ == "__main__":
    main(int(sys.argv[1]))
