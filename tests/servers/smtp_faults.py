"""What a scripted SMTP server does instead of its usual answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reply:
    """Say this instead, e.g. Reply("550 5.1.1 No such user"); a line break makes several lines."""

    text: str


@dataclass(frozen=True)
class Drop:
    """Close the connection without a word. `keep_mail` (at the final dot): after taking the mail."""

    keep_mail: bool = False


@dataclass(frozen=True)
class Silence:
    """Never answer, until the client leaves. `keep_mail` (at the final dot): after taking the mail."""

    keep_mail: bool = False


@dataclass(frozen=True)
class Raw:
    """Send these bytes as they are (garbage, half a reply), then drop the connection or stay silent."""

    content: bytes
    then_drop: bool = True
    keep_mail: bool = False


@dataclass(frozen=True)
class Surplus:
    """Behind the usual answer, in one packet with it, say this as well, which nobody asked for."""

    content: bytes


@dataclass(eq=False)
class Hold:
    """Stop before the usual answer until the test calls `release()`; `reached` tells that we got there. `then`: what
    is done at the final dot instead of the usual answer."""

    then: Reply | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self.released.set()


Fault = Reply | Drop | Silence | Raw | Surplus | Hold


@dataclass
class Rule:
    command: str
    fault: Fault
    containing: str
    times: int | None

    def applies(self, command: str, line: str) -> bool:
        return self.command == command and self.containing.lower() in line.lower() and self.times != 0
