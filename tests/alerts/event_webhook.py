"""A webhook for events that the tests' receiver is told by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alerts.events import numbers
from alerts.models import Webhook
from tests.alerts.telling import Receiver, receiver

__all__ = ["receiver"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def webhook(receiver: Receiver) -> Webhook:
    made = Webhook(name="crm", url=receiver.url, cursor=numbers.give())
    made.secret = SECRET
    made.save()
    return made


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _headers, body in receiver.asked]
