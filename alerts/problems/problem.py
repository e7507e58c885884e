"""One problem that needs a person now, as its finder words it."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.models import Kind

ALERT_KEY = "alert:"  # how the idempotency keys of our own alert mails begin


@dataclass(frozen=True)
class Problem:
    """`key` tells incidents apart; `newest` and `count` tell when there is more of it than was said. `path` leads to
    the page that mends it."""

    key: str
    kind: Kind
    account_id: int | None
    sentence: str
    path: str
    count: int = 1
    newest: int = 0
