"""The table of `make bench-machines`: each measure and what it is to reach."""

from __future__ import annotations

from benchmarks.frame import Bench, Figure, at_least, at_most
from benchmarks.machines_suite import machines

ONE_HOST = "one host"

BENCHES = [
    Bench(
        "s3",
        machines.s3,
        (Figure("s3", "first sync of 3,000 messages, raw store on S3", "raw store in files", at_most(1.3)),),
    ),
    Bench(
        "hosts-first",
        machines.two_hosts_first,
        (
            Figure(
                "hosts-first",
                "first sync of 20 mailboxes of 250 messages: how many times as fast two hosts are",
                ONE_HOST,
                at_least(1.7),
            ),
        ),
    ),
    Bench(
        "hosts-send",
        machines.two_hosts_send,
        (
            Figure(
                "hosts-send",
                "2,000 mails over 40 accounts, a relay that takes 50 ms a mail: how many times as fast two hosts are",
                ONE_HOST,
                at_least(1.7),
            ),
        ),
    ),
]
