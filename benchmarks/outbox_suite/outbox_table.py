"""The table of `make bench-outbox`: each measure and what it is to reach."""

from __future__ import annotations

from benchmarks.frame import Bench, Figure, at_least, at_most
from benchmarks.outbox_suite import outbox, outbox_more

BENCHES = [
    Bench(
        "session",
        outbox.session,
        (
            Figure(
                "session",
                "1,000 mails of 1.3 kB through one account, STARTTLS with AUTH: mails a second",
                "django-post_office with one thread",
                at_least(1.0),
                unit="/s",
            ),
            Figure(
                "session-smtplib",
                "the same, for information",
                "smtplib on one connection, which keeps no word of a mail",
                None,
                unit="/s",
            ),
        ),
    ),
    Bench(
        "workers",
        outbox.workers,
        (
            Figure(
                "workers",
                "1,000 mails over 5 accounts by the workers on two cores: mails a second",
                "django-post_office with 5 threads",
                at_least(1.1),
                unit="/s",
            ),
        ),
    ),
    Bench(
        "many",
        outbox_more.many,
        (
            Figure(
                "many",
                "10,000 rows over 20 accounts by the workers: mails a second",
                "1,000 rows over 5 accounts",
                at_least(0.95),
                unit="/s",
            ),
        ),
    ),
    Bench(
        "claim",
        outbox_more.claim,
        (Figure("claim", "claim of one due row among 1,000,000 sent ones", "among 1,000", at_most(1.2)),),
    ),
    Bench(
        "click",
        outbox_more.click,
        (
            Figure(
                "click",
                "from the Send click to the sink's accept, idle system, beyond the server's own time",
                "smtplib for one mail, to be taken off",
                at_most(1.0, "s"),
            ),
        ),
    ),
]
