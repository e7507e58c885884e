"""Look-ups of an address's servers for tests: who asks, and what a worker found."""

from __future__ import annotations

import html
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mailbox.autoconfig.servers import Discovery, LookupOutcome, LookupStep, ServerSettings, SettingsSource, to_json
from mailbox.models import SettingsLookup

ADD, FIND = "/accounts/add/", "/accounts/add/find/"
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def person(make_user: Callable[..., User]) -> User:
    return make_user("administrator")


@pytest.fixture
def administrator(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def shown(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def lookup(person: User, found: Discovery, email: str = "ann@example.com") -> SettingsLookup:
    """A look-up that a worker has done."""
    now = timezone.now()
    return SettingsLookup.objects.create(
        asked_by=person, email=email, started_at=now, finished_at=now, found=to_json(found)
    )


def found_by_srv() -> Discovery:
    found = Discovery()
    found.add(ServerSettings("imap", "imap.example.com", 993, "tls", "ann"), SettingsSource.SRV)
    found.add(ServerSettings("smtp", "mx.hoster.example", 2587, "starttls", "ann@example.com"), SettingsSource.SRV)
    found.steps += [
        LookupStep(
            SettingsSource.AUTOCONFIG, "autoconfig.example.com/x", LookupOutcome.FAILED, "The server answered 404."
        ),
        LookupStep(
            SettingsSource.SRV, "_imaps._tcp.example.com", LookupOutcome.FOUND, "imap.example.com:993", kind="imap"
        ),
        LookupStep(
            SettingsSource.SRV,
            "_submission._tcp.example.com",
            LookupOutcome.FOUND,
            "mx.hoster.example:2587",
            kind="smtp",
        ),
    ]
    return found
