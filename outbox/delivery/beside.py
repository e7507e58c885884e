"""What a sender does beside one mail on its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.delivery.attempt_watch import AttemptWatch
from outbox.delivery.outcomes import Work
from outbox.eventloop.coroutines import Steps
from outbox.smtp.mail_transaction import Beside, Delivery, Mail

if TYPE_CHECKING:
    from outbox.delivery.sender import Sender


class Turn(Beside):
    def __init__(self, sender: Sender, work: Work, watch: AttemptWatch) -> None:
        self._sender, self._work, self._watch = sender, work, watch

    def asked(self) -> None:
        self._sender.prepare_owed()

    def kept_waiting(self) -> Steps[None]:
        return self._sender.settle(claims_next=True)

    def before_data(self, delivery: Delivery) -> Steps[bool]:
        return self._sender.commit_data(self._work, self._watch, delivery)

    def given(self) -> Mail | None:
        return self._sender.prepare_following()
