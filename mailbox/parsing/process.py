"""One parser process, as used by its thread in `pool`: starts it, sends jobs, receives results, ends it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings

from mailbox.errors import StorageError
from mailbox.parsing.parse_job import ParseJob, ParseResult
from mailbox.parsing.parser import LENGTH

CPU_SECONDS = 20.0  # for one message, and more for a large one: see mailbox.parsing.parser
SPACE_BYTES = 512 * 1024 * 1024  # likewise; address space, including the interpreter's own
SILENCE_SECONDS = 900.0  # longest wait for a result; the CPU limit ends a parser long before, unless it is stopped
LARGE = 8 * 1024 * 1024  # a message of this size leaves the parser with much memory, so the parser is replaced
PIPE_BYTES = 1024 * 1024
READ_BYTES = 64 * 1024
ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "TMPDIR")  # no keys, no addresses of databases
# A ParseResult, or the return value of another ParseJob.reader; a str says why there is none.
Result = Any


class ParserLost(Exception):
    """The parser has died while reading the first message without a result."""


class ParserPipe:
    """A child process that is started with the first job; after end(), or its death, the next job starts another."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._come = bytearray()

    def start(self) -> None:
        """Start the child before there is a job. Raises StorageError."""
        if self._child is None:
            self._start()

    def read(self, jobs: Sequence[ParseJob]) -> Iterator[Result]:
        """Yield a result for each job. Raises ParserLost, and StorageError when no parser can be started."""
        child = self._child or self._start()
        try:
            self._send(child, jobs)
            for _ in jobs:
                yield self._receive(child)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            self.end()
            raise ParserLost from error
        if any(len(job.raw) > LARGE for job in jobs):
            self.end()

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            # Started in the project's folder, since the standard library has a module named `mailbox` too.
            child = self._child = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-m", "mailbox.parsing.parser", str(os.getpid())],
                cwd=settings.BASE_DIR,
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # A process group of its own: Ctrl-C reaches the worker alone, which then ends the child. Not a session
                # of its own: the kernel would schedule that like another user's, whatever the worker's niceness.
                process_group=0,
            )
            assert child.stdin
            # A larger pipe means fewer context switches. OSError: the user's limit of pipe memory is reached.
            with contextlib.suppress(OSError):
                fcntl.fcntl(child.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._receive(child)
        except (OSError, EOFError) as error:
            self.end()
            raise StorageError(f"The parser could not be started: {type(error).__name__} {error}") from error
        return child

    @staticmethod
    def _send(child: subprocess.Popen[bytes], jobs: Sequence[ParseJob]) -> None:
        assert child.stdin
        wanted = [(len(job.raw), job.size, job.account_id, job.vendor, job.path, job.reader) for job in jobs]
        words = pickle.dumps((CPU_SECONDS, SPACE_BYTES, wanted), pickle.HIGHEST_PROTOCOL)
        for piece in (LENGTH.pack(len(words)) + words, *(job.raw for job in jobs if not job.path)):
            left = memoryview(piece)
            while left:
                left = left[os.write(child.stdin.fileno(), left) :]

    def _receive(self, child: subprocess.Popen[bytes]) -> Result:
        (length,) = LENGTH.unpack(self._take(child, LENGTH.size))
        answer = pickle.loads(self._take(child, length))  # noqa: S301 - our own child's
        return ParseResult.unpacked(answer) if isinstance(answer, tuple) else answer

    def _take(self, child: subprocess.Popen[bytes], count: int) -> bytes:
        assert child.stdout
        answer = select.poll()
        answer.register(child.stdout, select.POLLIN)
        while len(self._come) < count:
            if not answer.poll(SILENCE_SECONDS * 1000):
                raise EOFError
            piece = os.read(child.stdout.fileno(), READ_BYTES)
            if not piece:
                raise EOFError
            self._come += piece
        taken = bytes(self._come[:count])
        del self._come[:count]
        return taken

    def end(self) -> None:
        """Kill the child and wait for its end. Raises nothing."""
        child, self._child = self._child, None
        self._come.clear()
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        child.wait()
