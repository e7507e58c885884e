"""What the server alone takes for the commands of a sync of one new mail: the answers are read and dropped."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from benchmarks.frame import Void
from tests.servers.dovecot import Dovecot


class Bare:
    """A signed-in connection; `seconds` is how long the last answer took."""

    def __init__(self, server: Dovecot, user: str) -> None:
        plain = socket.create_connection((server.host, server.imap_port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = server.certificates.client_context().wrap_socket(plain, server_hostname=server.host)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self.seconds = 0.0
        self.say(f"LOGIN {user} {server.password}")

    def say(self, *commands: str) -> bytes:
        """Send them in one packet and return the answers to all of them."""
        begin, answer, line = time.perf_counter(), b"", b""
        tags = [b"a%d" % number for number in range(len(commands))]
        said = [b"%s %s\r\n" % (tag, command.encode()) for tag, command in zip(tags, commands, strict=True)]
        self._socket.sendall(b"".join(said))
        while not line.startswith(tags[-1] + b" "):
            line = self._lines.readline()
            if not line:
                raise Void(f"Dovecot closed the connection after {commands}")
            answer += line
        self.seconds = time.perf_counter() - begin
        if b" OK" not in line:
            raise Void(f"Dovecot refused {commands}: {line!r}")
        return answer

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@dataclass(frozen=True)
class Stand:
    """A folder as it is before a mail comes."""

    uidvalidity: int
    modseq: int
    uidnext: int


def stand_of(server: Dovecot, user: str) -> Stand:
    """The present state of a user's INBOX, by STATUS (RFC 3501 6.3.10, RFC 7162 3.1.2.1)."""
    bare = Bare(server, user)
    answer = bare.say("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ UIDNEXT)")
    bare.close()
    found = {word: int(number) for word, number in re.findall(rb"(UIDVALIDITY|HIGHESTMODSEQ|UIDNEXT) (\d+)", answer)}
    return Stand(found[b"UIDVALIDITY"], found[b"HIGHESTMODSEQ"], found[b"UIDNEXT"])


def seconds_of_one_new(server: Dovecot, user: str, before: Stand) -> tuple[float, float]:
    """Seconds of EXAMINE, and of the two FETCHes, said as our sync says them after a mail came."""
    bare, uid = Bare(server, user), before.uidnext
    known = f"{before.uidvalidity} {before.modseq} 1:{uid - 1}"
    bare.say("ENABLE QRESYNC", f"EXAMINE INBOX (QRESYNC ({known}))")
    examine = bare.seconds
    fetch = 0.0
    for command in (f"{uid}:{uid} (UID FLAGS INTERNALDATE RFC822.SIZE)", f"{uid} (UID BODY.PEEK[])"):
        if b"FETCH (" not in bare.say(f"UID FETCH {command}"):
            raise Void("the new mail was not there")
        fetch += bare.seconds
    bare.close()
    return examine, fetch
