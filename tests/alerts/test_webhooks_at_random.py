"""A receiver that fails at random and a worker that is killed at random: no event is lost, those about one mail arrive
in their order, and one comes twice only when nobody could know that it had come."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from alerts.events import numbers, webhook_delivery
from alerts.models import Event, Webhook, WebhookDelivery
from mailbox.models import Account, Message
from tests.alerts.telling import Receiver, receiver
from tests.rows import NOWHERE, letter, store
from tests.servers.forked import Forked

__all__ = ["receiver"]
TAKES, REFUSES, IN_TROUBLE, DIES = 204, 400, 503, 0
FATES = {TAKES: 6, REFUSES: 1, IN_TROUBLE: 2, DIES: 2}  # and their weights
MOST_REFUSALS = webhook_delivery.REFUSALS - 1  # of one event: then it is given up, as docs/api.md says


class Killed(BaseException):
    """No `except Exception` stops it, as none stops SIGKILL."""


class Taking:
    """Decides what becomes of each try, and keeps what the receiver took: it also dies after it has taken an event."""

    def __init__(self, receiver: Receiver, chance: random.Random) -> None:
        self.receiver, self.chance = receiver, chance
        self.taken: list[dict[str, Any]] = []
        self.unanswered, self.refused = Counter[str](), Counter[str]()
        receiver.meanwhile = self.decide

    def decide(self) -> None:
        headers, body = self.receiver.asked[-1]
        identifier = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        fate = self.chance.choices(list(FATES), list(FATES.values()))[0]
        if fate == REFUSES and self.refused[identifier] == MOST_REFUSALS:
            fate = TAKES
        self.refused[identifier] += fate == REFUSES
        self.unanswered[identifier] += fate == DIES
        if fate in (TAKES, DIES):
            self.taken.append(json.loads(body) | {"id": identifier})
        self.receiver.status = fate

    def last(self) -> str:
        return str(self.taken[-1]["id"]) if self.taken else ""


def make_webhook(url: str) -> Webhook:
    made = Webhook(name="crm", url=url, cursor=numbers.give())
    made.secret = webhook_delivery.new_secret()
    made.save()
    return made


def something_happens(account: Account, messages: list[Message], chance: random.Random) -> None:
    """A new message, or another mark on one that is there."""
    if not messages or chance.random() < 0.3:
        messages.append(store(account, letter()))
    else:
        message = chance.choice(messages)
        message.seen = not message.seen
        Message.objects.filter(pk=message.pk).update(seen=message.seen)


def time_passes(chance: random.Random) -> None:
    """A dead worker's lease and the receiver's trouble are over, and the waits of some refused events."""
    Webhook.objects.update(next_try_at=timezone.now(), lease_expires_at=None)
    waiting = list(WebhookDelivery.objects.order_by("pk").values_list("pk", flat=True))
    some = [pk for pk in waiting if chance.random() < 0.5]
    WebhookDelivery.objects.filter(pk__in=some).update(next_try_at=timezone.now())


def check(taking: Taking, excused: Counter[str]) -> None:
    """Every event was taken, in order for each message, and doubles are those that are documented."""
    assert not WebhookDelivery.objects.exclude(state="sent").exists()
    wanted: dict[int, list[int]] = {}
    for message, number in Event.objects.order_by("number").values_list("message_pk", "number"):
        wanted.setdefault(message, []).append(number)
    first: dict[int, list[int]] = {}
    for data in (each["data"] for each in taking.taken):
        numbers_of = first.setdefault(data["message_id"], [])
        if data["number"] not in numbers_of:
            numbers_of.append(data["number"])
    assert first == wanted
    times = Counter(each["id"] for each in taking.taken)
    assert {each: n - 1 for each, n in times.items() if n - 1 > excused[each]} == {}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.long if seed > 2 else ()) for seed in range(1, 41)]
)
def test_no_event_is_lost_or_overtaken(
    seed: int, receiver: Receiver, make_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies before a try, between the receiver's answer and its note, and behind the note."""
    chance = random.Random(seed)
    account, messages = make_account("ops@example.com", **NOWHERE), list[Message]()
    taking, excused = Taking(receiver, chance), Counter[str]()
    make_webhook(receiver.url)
    kills = Counter[str]()
    is_deadly = True

    def deadly(name: str, share: float) -> None:
        step = getattr(webhook_delivery, name)

        def stepped(*given: Any) -> Any:
            dies, is_before = is_deadly and chance.random() < share, chance.random() < 0.5
            if dies and is_before:
                kills[name] += 1
                if name == "_store_result" and given[1].is_sent:
                    excused[taking.last()] += 1
                raise Killed
            answer = step(*given)
            if dies:
                kills[f"behind {name}"] += 1
                raise Killed
            return answer

        monkeypatch.setattr(webhook_delivery, name, stepped)

    for name, share in (("_plan", 0.1), ("_next", 0.1), ("_store_result", 0.3)):
        deadly(name, share)
    for number in range(80):
        something_happens(account, messages, chance)
        if number % 3 == 0:
            time_passes(chance)
            with contextlib.suppress(Killed):
                webhook_delivery.send_all()
    is_deadly = False
    for _ in range(500):
        time_passes(chance)
        if not webhook_delivery.send_all() and not WebhookDelivery.objects.filter(state="waiting").exists():
            break
    assert (
        {"_store_result", "behind _store_result"} <= kills.keys()
        and taking.refused.total()
        and taking.unanswered.total()
    )
    check(taking, excused + taking.unanswered)


POSTS = """
import django, os, sys
django.setup()
from alerts.events import webhook_delivery
from django.conf import settings
settings.WEBHOOK_ALLOW_HTTP = settings.WEBHOOK_ALLOW_PRIVATE = True
while True:
    webhook_delivery.send_all()
"""


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_at_any_instant_loses_none(receiver: Receiver, make_account: Callable[..., Account]) -> None:
    """SIGKILL at random instants, by what the receiver has got: each worker may post a few more, and is gone."""
    chance = random.Random(7)
    account, messages = make_account("ops@example.com", **NOWHERE), list[Message]()
    taking, got = Taking(receiver, chance), threading.Event()
    decide = receiver.meanwhile

    def noted() -> None:
        decide()
        got.set()

    receiver.meanwhile = noted
    make_webhook(receiver.url)
    excused = Counter[str]()
    for _ in range(40):
        for _ in range(5):
            something_happens(account, messages, chance)
        time_passes(chance)
        got.clear()
        worker = Forked(POSTS)
        assert got.wait(60)
        time.sleep(chance.random() * 0.02)
        worker.kill()
        worker.wait()
        excused[taking.last()] += 1  # its answer may not have been written down
    for _ in range(2_000):
        time_passes(chance)
        if not webhook_delivery.send_all() and not WebhookDelivery.objects.filter(state="waiting").exists():
            break
    check(taking, excused + taking.unanswered)
