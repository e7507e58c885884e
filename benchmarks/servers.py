"""The servers that are measured against, and filling their mailboxes fast."""

from __future__ import annotations

import hashlib
import imaplib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from tests.servers.dovecot import Dovecot
from tests.servers.ports import free_ports
from tests.servers.smtp import SmtpServer

TOGETHER_BYTES = 8_000_000  # in one APPEND (RFC 3502, MULTIAPPEND)
Place = tuple[str, int, str]  # folder, UID, SHA-256


class Server(Dovecot):
    """With a port at which Postfix asks about passwords, and logs of what is said while somebody counts."""

    auth_port: int


@contextmanager
def running_dovecot(relay_port: int = 1, *, many_sessions: bool = False) -> Iterator[Server]:
    """A Dovecot in a folder of its own, removed at the end. A Unix socket's path must be short: not below var/."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="prx-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = Server(folder, SmtpServer(port=relay_port))
        _extend(server)
        if many_sessions:
            _make_room(server)
        server.start()
        stack.callback(server.stop)
        yield server


def _extend(server: Server) -> None:
    """Logs of what is said after sign-in go to a folder that is there only while somebody counts."""
    is_new = not server.version.startswith("2.3")
    (server.auth_port,) = free_ports(1)
    with server.config.open("a") as config:
        config.write(f"protocol imap {{\n  rawlog_dir = {server.folder}/rawlog\n}}\n")
        config.write(f"service auth {{\n  inet_listener postfix {{\n    port = {server.auth_port}\n  }}\n}}\n")
        config.write("" if is_new else "default_client_limit = 4096\ndefault_process_limit = 1024\n")


def _make_room(server: Server) -> None:
    """For more than a thousand sessions: a process for each, and a few for all of their TLS."""
    with server.config.open("a") as config:
        config.write("default_client_limit = 20000\ndefault_process_limit = 4096\n")
        config.write("service imap-login {\n  service_count = 0\n  process_min_avail = 2\n  process_limit = 2\n}\n")


def fill(server: Dovecot, user: str, mails: Iterable[tuple[bytes, datetime]], folder: str = "INBOX") -> int:
    """Put the mails into a folder, many in one command; returns how many."""
    count = 0
    with server.login(user) as imap:
        for batch in _batches(mails):
            _append(imap, folder, batch)
            count += len(batch)
    return count


def _batches(mails: Iterable[tuple[bytes, datetime]]) -> Iterator[list[tuple[bytes, datetime]]]:
    batch: list[tuple[bytes, datetime]] = []
    size = 0
    for raw, when in mails:
        batch.append((raw, when))
        size += len(raw)
        if size > TOGETHER_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _append(imap: imaplib.IMAP4, folder: str, batch: list[tuple[bytes, datetime]]) -> None:
    """One APPEND of many, with literals that wait for nobody (RFC 7888, LITERAL+)."""
    words = [b" %s {%d+}\r\n%s" % (imaplib.Time2Internaldate(when).encode(), len(raw), raw) for raw, when in batch]
    tag = imap._new_tag()
    imap.send(b"%s APPEND %s%s\r\n" % (tag, folder.encode(), b"".join(words)))
    status, answer = imap._command_complete("APPEND", tag)
    if status != "OK":
        raise RuntimeError(f"APPEND: {answer}")


def places(server: Dovecot, user: str, folder: str = "INBOX") -> set[Place]:
    """What the server holds. Reading all of it also warms its caches, for whoever comes first."""
    found: set[Place] = set()
    with server.login(user) as imap:
        count = int(imap.select(folder, readonly=True)[1][0] or 0)
        for start in range(1, count + 1, 500):
            _, answer = imap.fetch(
                f"{start}:{min(start + 499, count)}", "(UID INTERNALDATE RFC822.SIZE FLAGS BODY.PEEK[])"
            )
            for item in answer:
                if isinstance(item, tuple):
                    uid = re.search(rb"UID (\d+)", item[0])
                    assert uid
                    found.add((folder, int(uid[1]), hashlib.sha256(item[1]).hexdigest()))
    return found
