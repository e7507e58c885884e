"""Seeded installations that are kept from run to run: making a million rows takes minutes, asking for them does not.

python -m benchmarks.kept makes what `python -m benchmarks pages` will ask for, so that a run that measures is short.
They lie in var/benchmarks/kept, a folder (and on PostgreSQL a database) for each size, named after what made it: other
seeding code makes them anew, and BENCH_FRESH=1 does so in any case.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from benchmarks.frame import RESULTS_FOLDER, ROOT, Options, say
from benchmarks.site import Site
from tests.servers.postgres import Postgres

FOLDER = RESULTS_FOLDER / "kept"
MADE_BY = ("prx_email_site/seed*.py", "prx_email_site/management/commands/seed.py", "mailbox/search_words.py")
DONE = "seeded"  # the file that says that all of it is there


def version() -> str:
    """Of the code that decides what is in a seeded database. Migrations are not in it: a kept one is migrated."""
    found = hashlib.sha256()
    for pattern in MADE_BY:
        for path in sorted(ROOT.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()[:8]


class Kept:
    """The installations of one database; `server` is the address of a PostgreSQL, "" for SQLite."""

    def __init__(self, folder: Path, server: str = "", *, is_fresh: bool = False) -> None:
        self.folder, self.server, self.is_fresh = folder, server, is_fresh

    def site(self, count: int) -> Site:
        """One with so many messages and outbox rows, made when it is not there yet, or cannot be migrated."""
        name = f"seed_{count}_{version()}"
        folder = self.folder / name
        site = Site(folder, name, f"{self.server.rpartition('/')[0]}/{name}" if self.server else "", {})
        if self.is_fresh or not (folder / DONE).exists() or not _is_migrated(site):
            self._remove(f"seed_{count}_")
            folder.mkdir(parents=True, mode=0o700)
            if self.server:
                self._ask(f"CREATE DATABASE {name}")
            site.manage("migrate", "--verbosity=0")
            seconds = site.manage("seed", f"--messages={count}", f"--outbox={count}")
            say(f"    seeded {count:,} messages and {count:,} outbox rows in {seconds:.0f} s")
            (folder / DONE).write_text(f"{time.strftime('%Y-%m-%d %H:%M')}\n")
        site.manage("collectstatic", "--no-input", "--verbosity=0")
        return site

    def _remove(self, prefix: str) -> None:
        """All of this size, whatever made them."""
        for folder in self.folder.glob(f"{prefix}*"):
            shutil.rmtree(folder)
        if self.server:
            with psycopg.connect(self.server) as connection:
                rows = connection.execute("SELECT datname FROM pg_database").fetchall()
            for (name,) in rows:
                if name.startswith(prefix):
                    self._ask(f"DROP DATABASE {name}")

    def _ask(self, statement: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement.encode())


def _is_migrated(site: Site) -> bool:
    """Whether it is in line with the models, or could be brought there."""
    try:
        site.manage("migrate", "--verbosity=0")
    except RuntimeError:  # by migrations that were numbered anew, say
        return False
    return True


def open_kept(options: Options, stack: ExitStack) -> Kept:
    """On SQLite, or on a PostgreSQL of our own that waits for the disk, whose cluster is kept too."""
    is_fresh = bool(os.environ.get("BENCH_FRESH"))
    folder = FOLDER / options.database
    folder.mkdir(parents=True, exist_ok=True)
    if options.database == "sqlite":
        return Kept(folder, is_fresh=is_fresh)
    place = folder / "server"
    place.mkdir(exist_ok=True)
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in place.parents):
        say("    the user postgres may not enter this folder: nothing is kept")
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prx-bench-", ignore_cleanup_errors=True)))
        folder, is_fresh = place / "sites", True
    postgres = Postgres(place, is_durable=True)
    stack.callback(postgres.stop)
    return Kept(folder, postgres.start().url, is_fresh=is_fresh)


def sizes(options: Options) -> tuple[int, int]:
    """Rows of the large and of the small installation."""
    return options.amount(1_000_000, 300), options.amount(10_000, 300)


def main() -> None:
    options = Options.of_environment()
    with ExitStack() as stack:
        kept = open_kept(options, stack)
        for count in sizes(options):
            begin = time.monotonic()
            kept.site(count)
            say(f"{options.database}, {count:,}: there ({time.monotonic() - begin:.0f} s)")


if __name__ == "__main__":
    main()
