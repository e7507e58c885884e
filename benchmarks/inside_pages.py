"""Run inside an installation, by Site.inside(): what its pages cost, asked as a browser asks, without the network."""

from __future__ import annotations

import gzip
import re
import time
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbox.models import Message, MessagePlace, RetentionRule
from mailbox.queueing import queue
from mailbox.search.results import search
from mailbox.views.pagination import Cursor
from prx_email_site.retention import sweep
from prx_email_site.seed.letters import word
from prx_email_site.seed.mailboxes import ticket

PAGE_ROWS = 50


@cache
def _browser() -> Client:
    user, _ = User.objects.get_or_create(username="bench", defaults={"is_superuser": True, "is_staff": True})
    client = Client(HTTP_HOST="127.0.0.1", HTTP_X_FORWARDED_PROTO="https")
    client.force_login(user)
    return client


def page_seconds(path: str) -> tuple[float, float]:
    """One page, from the request to the whole answer: seconds by the clock, and of this process's own work."""
    begin, worked = time.perf_counter(), time.process_time()
    answer = _browser().get(path)
    seconds = time.perf_counter() - begin, time.process_time() - worked
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}.")
    return seconds


def page_address(number: int) -> str:
    """The list's page with this number, 1 the newest; the last full one where there are fewer."""
    places = Message.objects.visible().order_by("-received_at", "-pk").values_list("received_at", "pk")
    number = min(number, Message.objects.count() // PAGE_ROWS)
    if number <= 1:
        return "/messages/"
    return f"/messages/?before={Cursor(*places[(number - 1) * PAGE_ROWS - 1])}"


def folder_address() -> str:
    """The newest page of a large folder."""
    return f"/messages/?folder={MessagePlace.objects.latest('pk').folder_id}"


def words_of_rank(first: int, count: int) -> list[str]:
    """The words of a seeded database by frequency: `count` of them from the rank `first` on, 0 for the most
    frequent."""
    return [word(first + number) for number in range(count)]


def own_words(count: int) -> list[str]:
    """Words that one message has each, spread over all there are."""
    total = Message.objects.count()
    return [ticket(total * number // count + number % 7) for number in range(count)]


def hits(query: str) -> int:
    """How many rows the first page of a search has."""
    return len(search(User.objects.get(username="bench"), query).rows)


def search_seconds(query: str) -> float:
    """The search alone, its rows read: what LIKE is compared with."""
    user = User.objects.get(username="bench")
    begin = time.perf_counter()
    rows = search(user, query).rows
    seconds = time.perf_counter() - begin
    if len(rows) != 1:
        raise RuntimeError(f"{query} found {len(rows)} messages.")
    return seconds


def like_seconds(text: str) -> float:
    """The same rows by LIKE, as a page without an index would ask for them."""
    begin = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM messages WHERE body_text LIKE %s ORDER BY received_at DESC LIMIT 51", [f"%{text}%"]
        )
        rows = cursor.fetchall()
    seconds = time.perf_counter() - begin
    if len(rows) != 1:
        raise RuntimeError(f"LIKE found {len(rows)} messages with {text}.")
    return seconds


def weight(path: str) -> dict[str, Any]:
    """Bytes of a first visit, page and files of ours as they go over the line, and queries of the page."""
    with CaptureQueriesContext(connection) as captured:
        answer = _browser().get(path, HTTP_ACCEPT_ENCODING="gzip")
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}.")
    html = answer.content
    sent = len(html)
    text = (gzip.decompress(html) if answer.get("Content-Encoding") == "gzip" else html).decode()
    files = set(re.findall(rf'(?:href|src)="{re.escape(settings.STATIC_URL)}([^"?]+)"', text))
    return {"bytes": sent + sum(map(_file_size, files)), "files": len(files), "queries": len(captured)}


def _file_size(name: str) -> int:
    """As WhiteNoise sends it to a browser that takes gzip."""
    plain = Path(settings.STATIC_ROOT, name)
    packed = plain.with_name(f"{plain.name}.gz")
    return (packed if packed.exists() else plain).stat().st_size


# --- Retention --------------------------------------------------------------------------------------------------
def message_count() -> int:
    """How many messages are stored."""
    return Message.objects.count()


def remove_older_half() -> int:
    """Make a rule that means half of all received mail, and begin, as the daily clock does; how many messages."""
    now = timezone.now()
    half = Message.objects.count() // 2
    middle = Message.objects.order_by("-received_at", "-pk").values_list("received_at", flat=True)[half]
    days = (now - middle).days
    RetentionRule.objects.create(what=RetentionRule.What.RECEIVED, days=days)
    number = Message.objects.filter(received_at__lt=now - timedelta(days=days)).count()
    queue(sweep.SLICE, now.isoformat(), group="retention")
    return number


def is_removing(number: int) -> bool:
    """Whether fewer than so many have gone."""
    return RetentionRule.objects.get().removed < number
