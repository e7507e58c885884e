"""The peer of `make bench-sync`: isync's mbsync to a Maildir, with its default FSync yes."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from benchmarks.frame import Void
from benchmarks.servers import Place

OWN_HEADER = re.compile(rb"^X-TUID: [^\n]*\n", re.MULTILINE)
CONFIG = """
FSync yes

IMAPAccount bench
Host localhost
Port {port}
User {user}
Pass {password}
SSLType IMAPS
CertificateFile {folder}/ca.pem

IMAPStore far
Account bench

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX

Channel bench
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync Pull
Expunge None
SyncState *
"""


class Mbsync:
    """One mailbox pulled into an empty folder, once."""

    def __init__(self, folder: Path, ca_pem: str, port: int, user: str, password: str) -> None:
        binary = shutil.which("mbsync")
        if not binary:
            raise SystemExit("mbsync is missing: apt-get install isync")
        (folder / "mail").mkdir(parents=True)
        (folder / "ca.pem").write_text(ca_pem)
        config = folder / "mbsyncrc"
        config.write_text(CONFIG.format(folder=folder, port=port, user=user, password=password))
        self.folder, self._command = folder, [binary, "-q", "-c", str(config), "bench"]

    def start(self) -> subprocess.Popen[bytes]:
        """Start mbsync; the caller waits for it."""
        return subprocess.Popen(self._command)

    def run(self) -> float:
        """Seconds of the whole command."""
        begin = time.monotonic()
        if status := self.start().wait():
            raise Void(f"mbsync ended with status {status}")
        return time.monotonic() - begin

    def check(self, wanted: set[Place]) -> None:
        """Every message is there, with the bytes of the server, but for mbsync's own header and line ends (LF)."""
        found: Counter[str] = Counter()
        for path in (self.folder / "mail").rglob("*"):
            if path.is_file() and path.parent.name in ("cur", "new"):
                raw = OWN_HEADER.sub(b"", path.read_bytes(), count=1).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                found[hashlib.sha256(raw).hexdigest()] += 1
        missing = Counter(digest for _, _, digest in wanted) - found
        if missing:
            raise Void(f"mbsync lacks {missing.total()} of {len(wanted)} messages")
