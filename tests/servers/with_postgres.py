"""python -m tests.servers.with_postgres -- COMMAND...: run a command with DATABASE_URL of a PostgreSQL of its own.

Exit status: the command's; 77 when there is no PostgreSQL here (a failure when CI is set).
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.ports import ServerMissing
from tests.servers.postgres import Postgres

SKIPPED = 77


def main(command: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stop from outside also tidies up
    with tempfile.TemporaryDirectory(prefix="prx-email-postgres-", ignore_cleanup_errors=True) as folder:
        try:
            server = Postgres(Path(folder)).start()
        except ServerMissing as reason:
            print(f"Not run on PostgreSQL: {reason}", file=sys.stderr)
            return 1 if os.environ.get("CI") else SKIPPED
        try:
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": server.url}).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(arguments[1:] if arguments[:1] == ["--"] else arguments))
