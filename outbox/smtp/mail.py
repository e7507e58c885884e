"""One mail as it is handed to a session, what the server said of it, and what its sender does meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outbox.eventloop.coroutines import Steps
from outbox.smtp.replies import Reply


@dataclass(frozen=True)
class Envelope:
    mail_from: str
    rcpt_to: Sequence[str]
    smtputf8: bool = False
    envelope_id: str = ""  # what reports about it are to name (ENVID)


@dataclass
class Delivery:
    """What the server said of one mail. `final` is None when DATA was not sent, because of `refused` or `stopped`."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    final: Reply | None = None
    stopped: bool = False  # before_data said no: nothing was sent


@dataclass(frozen=True, eq=False)
class Mail:
    envelope: Envelope
    content: bytes
    may_go_unasked: bool = False  # it has one recipient, whom no server has refused so far: see pipelined


class Beside:
    """What a sender does beside one mail. Whatever is raised in here leaves the session in the middle of something."""

    def asked(self) -> None:
        """MAIL and RCPT are sent, and their answers are not read yet."""

    def kept_waiting(self) -> Steps[None]:
        """The answers to MAIL and RCPT take longer than GRACE_SECONDS. Called once a mail at most."""
        yield from ()

    def before_data(self, delivery: Delivery) -> Steps[bool]:
        """Commit "data"; False when the mail must be left."""
        yield from ()
        return True

    def given(self) -> Mail | None:
        """The whole mail is with the server, and the answer is not read yet. The next one, if there is to be one: its
        MAIL and RCPT are said as soon as the answer is yes, and `deliver` for it goes on from there. Must not raise."""
        return None
