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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psycopg

from benchmarks.frame import RESULTS_FOLDER, ROOT, Options, say
from benchmarks.site import Site
from tests.servers.postgres import Postgres

FOLDER = RESULTS_FOLDER / "kept"
MADE_BY = (
    *("prx_email_site/seed/*.py", "prx_email_site/management/commands/seed.py"),
    *("mailbox/search/index_terms.py", "mailbox/search/tokenizer.py"),
)
DONE = "seeded"  # the file that says that all of it is there


def version() -> str:
    """Of the code that decides what is in a seeded database. Migrations are not in it: a kept one is migrated."""
    found = hashlib.sha256()
    for pattern in MADE_BY:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise RuntimeError(f"{pattern} matches no file.")
        for path in paths:
            found.update(path.read_bytes())
    return found.hexdigest()[:8]


class Kept:
    """The installations of one database; `server` is the address of a PostgreSQL, "" for SQLite."""

    def __init__(self, folder: Path, server: str = "", *, is_fresh: bool = False) -> None:
        self.folder, self.server, self.is_fresh = folder, server, is_fresh

    def site(self, count: int, outbox: int | None = None) -> Site:
        """One with so many messages and outbox rows (of the latter as many, or those given), made when it is not there
        yet, or cannot be migrated."""
        name = f"seed_{count}_{version()}"
        folder = self.folder / name
        site = Site(folder, name, f"{self.server.rpartition('/')[0]}/{name}" if self.server else "", {})
        if self.is_fresh or not (folder / DONE).exists() or not _is_migrated(site):
            self._remove(f"seed_{count}_")
            folder.mkdir(parents=True, mode=0o700)
            if self.server:
                self._ask(f"CREATE DATABASE {name}")
            site.manage("migrate", "--verbosity=0")
            rows = count if outbox is None else outbox
            seconds = site.manage("seed", f"--messages={count}", f"--outbox={rows}")
            say(f"    seeded {count:,} messages and {rows:,} outbox rows in {seconds:.0f} s")
            (folder / DONE).write_text(f"{time.strftime('%Y-%m-%d %H:%M')}\n")
        site.manage("collectstatic", "--no-input", "--verbosity=0")
        return site

    @contextmanager
    def copy(self, site: Site) -> Iterator[Site]:
        """A second one like it, which may be changed and is removed at the end."""
        name = f"{site.database_name}_copy"
        folder = self.folder / name
        self._remove(name)
        shutil.copytree(site.folder, folder)
        if self.server:
            self._ask(f"CREATE DATABASE {name} TEMPLATE {site.database_name}")
        try:
            yield Site(folder, name, f"{self.server.rpartition('/')[0]}/{name}" if self.server else "", {})
        finally:
            self._remove(name)

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


def for_retention(kept: Kept, options: Options) -> Site:
    """The installation of the bench that removes messages: 2,000,000 of them at full size."""
    return kept.site(options.amount(2_000_000, 600), outbox=options.amount(10_000, 300))


def main() -> None:
    options = Options.of_environment()
    with ExitStack() as stack:
        kept = open_kept(options, stack)
        for make in (*(partial(kept.site, count) for count in sizes(options)), partial(for_retention, kept, options)):
            begin = time.monotonic()
            site = make()
            say(f"{options.database}, {site.database_name}: there ({time.monotonic() - begin:.0f} s)")


if __name__ == "__main__":
    main()
