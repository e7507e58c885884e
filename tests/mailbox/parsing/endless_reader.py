"""A reader of mail that is never done, for a parser's process; importable without Django, as every reader is."""

from __future__ import annotations

from mailbox.parsing.parse_job import ParseJob


def read(_job: ParseJob) -> None:
    while True:
        pass
