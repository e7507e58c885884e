"""manage.py seed: fills a database with a large made-up installation, for trying pages and for measurements."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from mailbox.models import Account
from mailbox.storage import usage as storage_usage
from outbox.tasks.storage import count_storage
from prx_email_site.seed import runs as seed_runs
from prx_email_site.seed.mailboxes import (
    LETTERS,
    SampleMailbox,
    SamplePool,
    SeededAccount,
    make_accounts,
    newest_moment,
)
from prx_email_site.seed.outbox import SampleOutbox
from prx_email_site.seed.tables import in_bulk

SLICE = 20_000  # rows in a transaction
MOST = 100_000_000


class Command(BaseCommand):
    help = (
        "Fill an empty database with made-up accounts, messages and outbox rows, the same on each run. Their servers "
        "do not exist, fetching is off, and nothing is due before a year. Run it while nothing else uses the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--messages", type=int, default=10_000, help="How many received messages.")
        parser.add_argument("--outbox", type=int, default=10_000, help="How many rows of the outbox.")
        parser.add_argument("--accounts", type=int, default=20, help="Over how many accounts, 1 to 1000.")
        parser.add_argument("--force", action="store_true", help="Also where there are accounts already.")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted, count = {name: options[name] for name in ("messages", "outbox")}, options["accounts"]
        if not 1 <= count <= 1_000 or not all(0 <= each <= MOST for each in wanted.values()):
            raise CommandError("Give 1 to 1000 accounts, and from 0 to 100,000,000 messages and outbox rows.")
        if settings.DATABASE_POOLING == "transaction":
            raise CommandError("Seeding changes its session's settings: let DATABASE_URL name PostgreSQL itself.")
        if Account.objects.exists() and not options["force"]:
            raise CommandError(
                "This database has accounts: made-up mail would stand among theirs. Seed a database of its own, "
                "named by DATABASE_URL or PRX_EMAIL_DATA_DIR; --force seeds this one all the same."
            )
        begin, now = time.monotonic(), newest_moment(timezone.now())
        if Account.objects.filter(email__endswith="@site.example", email__startswith="seed").exists():
            raise CommandError("This database was seeded before. Seed an empty one.")
        places = make_accounts(count, now)
        written = [*SampleMailbox.models_written, *SampleOutbox.models_written, *seed_runs.SampleRuns.models_written]
        with in_bulk(written):
            pool = SamplePool(min(LETTERS, max(wanted.values()) + 1))
            for name, kind in (("messages", SampleMailbox), ("outbox", SampleOutbox)):
                self._write(kind(pool, places, now, wanted[name]), wanted[name], name, begin)
            _write_reports(places, now, wanted)
        storage_usage.count(timezone.now())  # else counted by a scheduled task within the hour
        count_storage()
        self.stdout.write(f"Done in {time.monotonic() - begin:.0f} s.")

    def _write(self, rows: SampleMailbox | SampleOutbox, count: int, name: str, begin: float) -> None:
        for start in range(0, count, SLICE):
            stop = min(start + SLICE, count)
            with transaction.atomic():
                for number in range(start, stop):
                    rows.write(number)
                rows.flush()
            if stop == count or stop % 200_000 == 0:
                self.stdout.write(f"{stop:,} of {count:,} {name}, {time.monotonic() - begin:.0f} s")


def _write_reports(places: list[SeededAccount], now: datetime, wanted: dict[str, int]) -> None:
    """Write reports in proportion to the mail, up to the numbers that retention allows."""
    reports = seed_runs.SampleRuns(places, now)
    with transaction.atomic():
        reports.write_runs(min(wanted["messages"] // 50, seed_runs.RUNS_AT_MOST))
        reports.write_quarantine(min(wanted["messages"] // 1_000, seed_runs.QUARANTINED_AT_MOST))
        reports.write_bounces(min(wanted["outbox"] // 500, seed_runs.BOUNCES_AT_MOST))
