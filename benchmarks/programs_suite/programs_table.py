"""The table of `make bench-programs`: each measure and what it is to reach."""

from __future__ import annotations

from benchmarks.frame import Bench, Figure, at_least
from benchmarks.programs_suite import programs

BENCHES = [
    Bench(
        "submission",
        programs.submission,
        (
            Figure(
                "submission",
                "mails of 1.3 kB by 20 sessions at once, STARTTLS with AUTH, until each is taken: mails a second",
                "Postfix's smtpd",
                at_least(0.25),
                unit="/s",
            ),
        ),
    ),
    Bench(
        "send",
        programs.send,
        (
            Figure(
                "send",
                "POST /api/v1/send, one request a mail, by 20 programs at once: mails a second",
                "",
                at_least(programs.RATE, "/s"),
                unit="/s",
            ),
            Figure(
                "send-limit",
                "the same runs",
                "a mail's bytes and one row made durable, one after another, and nothing else",
                at_least(0.5),
                unit="/s",
            ),
        ),
    ),
]
