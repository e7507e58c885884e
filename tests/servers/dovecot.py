"""A real Dovecot: IMAP over TLS and both kinds of submission, any user, one password for all, XOAUTH2 by JWT."""

from __future__ import annotations

import base64
import imaplib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt

from tests.servers import MAILBOX_PASSWORD
from tests.servers.certificates import make_certificates
from tests.servers.dovecot_config import Ports, Users, write_config
from tests.servers.ports import ServerMissing, answers, free_ports, wait_until
from tests.servers.smtp import SmtpServer

imaplib._MAXLINE = 10_000_000  # type: ignore[attr-defined]  # its limit of 1 MB a line is shorter than a long FETCH


ROOT = Path(__file__).resolve().parents[2]


class Dovecot:
    """Started with `start()`; `folder` must be empty and is removed by whoever made it."""

    host = "localhost"
    password = MAILBOX_PASSWORD

    def __init__(self, folder: Path, sink: SmtpServer) -> None:
        binary = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if not binary:
            raise ServerMissing("Dovecot is missing: apt-get install dovecot-imapd dovecot-submissiond")
        self.binary, self.folder, self.sink = binary, folder, sink
        self.version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[
            0
        ]
        self.users = Users.here()
        self._prepare_folder()
        self.certificates = make_certificates(folder)
        self.ca_pem = self.certificates.ca_pem
        self._choose_ports()
        self._master: subprocess.Popen[bytes] | None = None

    def _prepare_folder(self) -> None:
        self.folder.chmod(0o755)
        for name in ("run", "log", "mail", "keys/default/HS256"):
            (self.folder / name).mkdir(parents=True)
        if self.users.is_root:
            shutil.chown(self.folder / "mail", self.users.mail, self.users.mail_group)
        self._token_key = secrets.token_bytes(32)
        self.token_key_file = self.folder / "keys/default/HS256/default"
        self.token_key_file.write_text(base64.b64encode(self._token_key).decode())

    def _choose_ports(self) -> None:
        self.imap_port, self.submission_port, self.submissions_port = free_ports(3)
        ports = Ports(self.imap_port, self.submission_port, self.submissions_port, self.sink.port)
        self.config = write_config(self.folder, self.version, ports, self.users, self.password)

    # --- Life ---------------------------------------------------------------------------------------------------
    def is_running(self) -> bool:
        return answers(self.imap_port)

    def start(self) -> Dovecot:
        """Run in the foreground, as our child: a daemon would keep our pipes open and outlive a killed test run."""
        with (self.folder / "log/dovecot.log").open("ab") as log:
            self._master = master = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "prx_email_site.parent_death",
                    str(os.getpid()),
                    self.binary,
                    "-F",
                    "-c",
                    str(self.config),
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        ports = (self.imap_port, self.submission_port, self.submissions_port)
        try:
            wait_until(lambda: master.poll() is not None or all(map(answers, ports)), seconds=20, what="Dovecot")
        except TimeoutError as error:
            raise RuntimeError(f"Dovecot {self.version} does not answer: {self.log()}") from error
        if master.poll() is not None:
            raise RuntimeError(f"Dovecot {self.version} does not start: {self.log()}")
        return self

    def stop(self) -> None:
        if self._master is None:
            return
        self._master.terminate()
        try:
            self._master.wait(10)
        except subprocess.TimeoutExpired:
            self._master.kill()
            self._master.wait()

    def kill(self) -> None:
        """SIGKILL it and its children, connections and all."""
        if self._master is not None:
            os.killpg(self._master.pid, signal.SIGKILL)
            self._master.wait()

    def log(self) -> str:
        try:
            return (self.folder / "log/dovecot.log").read_text(errors="replace")[-4000:]
        except OSError:
            return ""

    def doveadm(self, *arguments: str) -> str:
        """Run doveadm against this server and return what it prints."""
        command = ["doveadm", "-c", str(self.config), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode:
            raise RuntimeError(f"doveadm {' '.join(arguments)}: {answer.stderr} {self.log()}")
        return answer.stdout

    def deliver(self, user: str, mail_from: str, raw: bytes) -> None:
        """Put a mail into a mailbox by Dovecot's delivery agent, as a mail server on the same machine does."""
        agent = shutil.which("dovecot-lda", path=f"{os.environ.get('PATH', '')}:/usr/lib/dovecot:/usr/libexec/dovecot")
        if not agent:
            raise ServerMissing("Dovecot's delivery agent is missing: apt-get install dovecot-core")
        command = [agent, "-c", str(self.config), "-d", user, "-f", mail_from]
        answer = subprocess.run(command, input=raw, capture_output=True)
        if answer.returncode:
            raise RuntimeError(f"dovecot-lda: {answer.stderr.decode(errors='replace')} {self.log()}")

    def token(self, user: str, expires_in: int = 3600, *, padding: int = 0) -> str:
        """An access token for `user`; a negative lifetime makes one that has expired, `padding` a longer one."""
        now = int(time.time())
        begin = now - 60 + min(expires_in, 0)
        claims = {"email": user, "sub": user, "iat": begin, "nbf": begin, "exp": now + expires_in}
        claims |= {"groups": "g" * padding} if padding else {}
        return jwt.encode(claims, self._token_key, algorithm="HS256")

    # --- A mailbox, as another client of the person sees and changes it -----------------------------------------
    @contextmanager
    def login(self, user: str) -> Iterator[imaplib.IMAP4_SSL]:
        """A signed-in imaplib connection."""
        imap = imaplib.IMAP4_SSL(self.host, self.imap_port, ssl_context=self.certificates.client_context(), timeout=60)
        try:
            imap.login(user, self.password)
            yield imap
        finally:
            imap.logout()

    def create_folder(self, user: str, name: str) -> None:
        """Make a folder; the name is plain text, encoded as IMAP wants it."""
        with self.login(user) as imap:
            _ok(imap.create(_quoted(name)))

    def append(
        self, user: str, folder: str, raw: bytes, flags: Iterable[str] = (), when: datetime | None = None
    ) -> int:
        """Put a message into a folder and return its UID."""
        return self.append_many(user, folder, [(raw, flags, when)])[0]

    def append_many(
        self, user: str, folder: str, messages: Iterable[tuple[bytes, Iterable[str], datetime | None]]
    ) -> list[int]:
        """Like append, on one connection: (raw, flags, when) each."""
        uids = []
        with self.login(user) as imap:
            for raw, flags, when in messages:
                date = imaplib.Time2Internaldate(when or time.time())
                # Ours, not imap.append(): that one rewrites line ends, and a test wants its bytes as they are.
                imap.literal = raw  # type: ignore[assignment]
                stored = _ok(imap._simple_command("APPEND", _quoted(folder), f"({' '.join(flags)})", date))
                uids.append(int(re.search(rb"APPENDUID \d+ (\d+)", stored[0])[1]))  # type: ignore[index]
        return uids

    def messages(self, user: str, folder: str = "INBOX") -> dict[int, bytes]:
        """The raw messages of a folder by UID."""
        return {
            int(re.search(rb"UID (\d+)", item[0])[1]): item[1]  # type: ignore[index]
            for item in self._fetch(user, folder, "(UID BODY.PEEK[])")
            if isinstance(item, tuple)
        }

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, set[str]]:
        """The flags of each message of a folder by UID, without \\Recent, which is the session's."""
        found = {}
        for item in self._fetch(user, folder, "(UID FLAGS)"):
            match = re.search(rb"UID (\d+) FLAGS \(([^)]*)\)", item)
            assert match
            found[int(match[1])] = set(match[2].decode().split()) - {"\\Recent"}
        return found

    def _fetch(self, user: str, folder: str, what: str) -> list[Any]:
        with self.login(user) as imap:
            count = int(_ok(imap.select(_quoted(folder), readonly=True))[0])
            return _ok(imap.uid("FETCH", "1:*", what)) if count else []

    def store(self, user: str, folder: str, uids: str, flags: str, change: str = "+FLAGS") -> None:
        """Change flags: store(user, "INBOX", "1:3", "\\\\Seen")."""
        with self.login(user) as imap:
            _ok(imap.select(_quoted(folder)))
            _ok(imap.uid("STORE", uids, change, f"({flags})"))

    def expunge(self, user: str, folder: str, uids: str) -> None:
        """Remove messages for good (RFC 4315 UID EXPUNGE)."""
        with self.login(user) as imap:
            _ok(imap.select(_quoted(folder)))
            _ok(imap.uid("STORE", uids, "+FLAGS", "(\\Deleted)"))
            _ok(imap._simple_command("UID", "EXPUNGE", uids))


def _ok(answer: tuple[str, list[Any]]) -> list[Any]:
    kind, content = answer
    if kind != "OK":
        raise RuntimeError(f"IMAP: {kind} {content}")
    return content


def _quoted(name: str) -> str:
    """A folder's name in modified UTF-7 (RFC 3501, 5.1.3), quoted."""
    encoded = "".join(
        part.replace("&", "&-") if part.isascii() else f"&{_base64_utf16(part)}-"
        for part in re.findall(r"[\x20-\x7e]+|[^\x20-\x7e]+", name)
    )
    return '"' + encoded.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _base64_utf16(text: str) -> str:
    return base64.b64encode(text.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
