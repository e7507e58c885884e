"""Every text of every page is in the catalogue: pages are rendered in a language that puts those into brackets."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.apps import apps
from django.conf import settings as project
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.messages.sender_name import name_first
from mailbox.models import Account, AuditEntry, Folder, Message, SyncState, Transport
from outbox.models import OutboxMessage, SendingSwitch, SentCopy, SentLookup
from tests import pseudo_locale
from tests.addresses import EXPECTED
from tests.filled_pages import WHO_SEES_MOST, accounts, addresses, person, rows
from tests.pseudo_locale import grouped_for_programs, plain_numbers, pseudo, shown_outside
from tests.rows import letter, letter_with, outbox_row, store

__all__ = ["accounts", "person", "pseudo", "rows"]
pytestmark = [pytest.mark.pages]

# What stands on pages in English and is no text to translate. Each with its reason.
ALLOWED = {
    r"PRX-Email": "the name of the product",
    r"IMAP|SMTP|TLS|STARTTLS|HTML|PDF|UID|Message-ID|X-PRX-Attempt|In-Reply-To|URL": "words of protocols and formats",
    r"[a-z]+/[\w.+-]+": "a content type",
    r"Google|Microsoft|Gmail|Outlook / Office 365|Yahoo|Fastmail|ProtonMail Bridge": "names of providers",
    r"Python|Django|SQLite|PostgreSQL": "names of what the site runs on",
    r"English": "a language is offered in that language",
    r"localhost|gmail\.com|example\.com": "a host",
    r"UTC": "a time zone",
    r"(?:message|outbox|account|folder|sync)(?:\.[a-z_]+| \d+)": "what programs call an event and what it is about",
    r"https?://": "how an address begins",
    r"OtherDefect": "the name of a defect that no sentence is known for",
    r"Event 1": "of a mail",
    r"Laptop": "what a person called a passkey",
    r"Ctrl\+[A-Z]": "keys, as keyboards name them",
    r"Re:": "how the subject of an answer begins, in any language",
}
MORE = ["/nothing/", "/outbox/?limit=0", "/outbox/?state=sent&code=5xx", "/messages/search/?q=larger:x"]
MORE += [f"/outbox/all/?action={verb}" for verb in ("retry", "send_now", "cancel", "mark_as_sent")]
MORE += ["/messages/search/?q=nothing-like-it", "/accounts/add/?preset=gmail", "/accounts/add/?preset=protonmail"]
MORE += ["/outbox/?state=sending&age=over-7d&mark=bounced", "/outbox/attachments/?type=media", "/messages/?by=nothing"]


@pytest.fixture
def reader(pseudo: None, client: Client, person: User) -> Client:
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = pseudo_locale.CODE
    client.force_login(person)
    return client


@pytest.fixture
def troubles(accounts: list[Account]) -> None:
    """Everything that there is to say about an account, a folder and a mail."""
    now, long_ago = timezone.now(), timezone.now() - timedelta(days=3)
    AuditEntry.objects.update(detail="Detail 1")
    first, second, third, fourth = accounts
    Transport.objects.filter(pk=first.imap_id).update(needs_sign_in_since=now, last_reply="NO [AUTH] 1")
    Transport.objects.filter(pk=second.smtp_id).update(needs_sign_in_since=now, last_reply="535 5.7.8")
    Transport.objects.filter(pk=third.imap_id).update(next_allowed_at=now + timedelta(hours=1), last_reply="BYE 1")
    Account.objects.filter(pk=second.pk).update(sending_paused_at=now, send_enabled=False)
    Account.objects.filter(pk=fourth.pk).update(sync_enabled=False)
    for number, account in enumerate((second, third)):
        for folder in Folder.objects.filter(account=account)[:3]:
            state = {"failure_count": 1 + 2 * number, "last_error": "NO 1", "next_allowed_at": now + timedelta(hours=1)}
            SyncState.objects.create(account=account, folder=folder, last_attempt_at=now, **state)
    Folder.objects.filter(account=third).update(created_at=long_ago)
    OutboxMessage.objects.filter(status="failed", hold="").update(next_attempt_at=now + timedelta(minutes=5))
    _mails_that_say_more(first)
    for number, row in enumerate(OutboxMessage.objects.order_by("pk")[:21]):
        state = ("waiting", "done", "failed")[number % 3]
        folder = {"folder": "Sent 1"} if state == "done" else {"error": "NO 1" if number % 2 else ""}
        SentCopy.objects.create(outbox=row, state=state, next_try_at=now, finished_at=now, **folder)
        if row.hold == "uncertain":
            SentLookup.objects.create(attempt=row.attempts.get(), uncertain_at=now, last_look_at=now, last_words="NO 2")


def _mails_that_say_more(account: Account) -> None:
    """An answer to a mail, an invitation, pictures from elsewhere, two that claim one Message-ID, one too large."""
    mail = store(account, letter("Mail with a picture", html='<img src="https://x.example/a.png">'))
    outbox_row(account, parent=mail, status="sent", sent_at=timezone.now(), created_at=timezone.now())
    event = ["BEGIN:VCALENDAR", "METHOD:REQUEST", "BEGIN:VEVENT", "SUMMARY:Event 1", "RRULE:FREQ=WEEKLY;COUNT=5"]
    event += ["DTSTART:20260302T140000Z", "DTEND:20260302T153000Z", "ATTENDEE:mailto:b@example.com"]
    event += ["ATTENDEE:mailto:c@example.com", "END:VEVENT", "END:VCALENDAR"]
    store(account, letter_with("\r\n".join(event).encode(), "invitation 1.ics", "text/calendar"))
    for text in ("One", "Two"):
        store(account, letter(f"Claim {text}", text, Message_ID="<same@example.com>"))
    store(account, letter("Mail of 9"), is_complete=False, parse_defects=["CharsetDefect", "OtherDefect"])


def told_by_rows() -> list[str]:
    """What people and servers wrote: the content of all text columns, the longest first; codes of ours are none."""
    found = {project.TIME_ZONE}
    for model in apps.get_models():
        names = [
            field.name
            for field in model._meta.concrete_fields
            if isinstance(field, models.CharField | models.TextField) and not field.choices
        ]
        for row in model._default_manager.values_list(*names) if names else ():
            found |= {value for value in row if value}
    found |= {name_first(sender) for sender in Message.objects.values_list("sender", flat=True)}
    # A single word in small letters would excuse a forgotten one of ours.
    return sorted((each for each in found if not re.fullmatch("[a-z_]*", each)), key=len, reverse=True)


def asked_by(url: str) -> list[str]:
    """What the address itself asks for: it stands in the page's filters and refusals."""
    values = [value for name, value in parse_qsl(urlsplit(url).query) if name in ("q", "code", "domain", "by")]
    return [*values, *(value.rpartition(":")[2] for value in values)]


def forgotten(page: str, told: list[str]) -> list[str]:
    """Texts of the page, with where they stand, that neither the catalogue nor a row nor ALLOWED explains."""
    left, told_whole = [], frozenset(told)
    allowed = re.compile("|".join(rf"(?<![\w-])(?:{each})(?![\w-])" for each in ALLOWED))
    for where, text in shown_outside(page):
        # Names of the tz database; names of hosts, tables and schedules, as programs write them.
        if where.startswith("select[time_zone]") or where.endswith(" code"):
            continue
        rest = text.removesuffix("…")
        if rest in told_whole or not re.search("[A-Za-z]", allowed.sub(" ", rest)):
            continue
        if any(each.startswith(rest) or " ".join(each.split()).startswith(rest) for each in told if len(rest) > 20):
            continue
        for each in told:
            rest = rest.replace(each.strip(), " ")
        if re.search("[A-Za-z]", allowed.sub(" ", rest)):
            left.append(f"<{where}> {text}")
    return left


# Digits that are no count, as "path <where> text". Each with its reason.
NO_COUNT = {
    r".*UID \d+": "what the server calls a message",
    r"/(?:system/)? <span(?: span)?> \d+": "the id of a process",
    r"/system/ <p(?: bdi)?> [\d.A-Za-z ·]+": "versions",
    r"/accounts/\d+/ <dl dd> :?\d+": "a port",
    r".* <(?:h\d span|dl dd|div bdi)> (?:localhost)?:\d+": "a port",
    r"/accounts/\d+/ <li a> \d+": "which mail, of the activity",
    r".*Outlook / Office 365": "the name of a provider",
    r"/exports/\d+/ <(?:head title|div h1)> \d+(?: · PRX-Email)?": "which export",
    r"/personal-data/\d+/ <td span> [\d, …]+\)": "which rows",
    r"/alerts/webhooks/\d+/ <td> .*(?:message|outbox|account|folder) \d+\)": "what an event is about, for programs",
    r".* <div p> [45]\d\d": "the status of an answer",
    r"/outbox/ <div p> (?:500|0)": "a parameter of an address, and its limit",
    r"/password/ <ul li> 12": "of Django's own sentence about passwords",
    r"/messages/\d+/ <dl dd> \d\d:\d\d \(UTC\)": "a time",
    r".* <span> Event 1": "of a mail",
}


def not_as_written(url: str, page: str, told: list[str]) -> list[str]:
    """Numbers that stand there as a program writes them, and numbers for programs that are written for people."""
    no_count, path = re.compile("|".join(f"(?:{each})" for each in NO_COUNT)), urlsplit(url).path
    left = [f"for programs: <{where}> {text}" for where, text in grouped_for_programs(page)]
    for where, text in plain_numbers(page):
        rest = text
        for each in told:
            if re.search(r"\d", rest):
                rest = rest.replace(each.strip(), " ")
        if re.search(r"\d", rest) and not no_count.fullmatch(f"{path} <{where}> {text}"):
            left.append(f"a number: <{where}> {text}")
    return left


def nothing_of(found: dict[str, list[str]]) -> None:
    """Fail with each forgotten text once, and the first page that it stands on."""
    first: dict[str, str] = {}
    for url, texts in found.items():
        for text in texts:
            first.setdefault(text, url)
    assert not first, "not in the catalogue:\n" + "\n".join(f"{text}   at {url}" for text, url in first.items())


def is_page(response: Any) -> bool:
    return str(response.headers.get("Content-Type", "")).startswith("text/html") and not response.streaming


# The mail itself, and what a mail looks like on paper, are the senders' words.
# The API's documentation is shown from its schema, which is English for every reader, and marked as such.
def is_mail(url: str) -> bool:
    return url.rstrip("/").endswith(("/html", "/api"))


@pytest.mark.django_db
@WHO_SEES_MOST
def test_no_page_says_anything_that_the_catalogue_has_not(reader: Client, rows: dict[str, int], troubles: None) -> None:
    details = [reverse("outbox:detail", args=[pk]) for pk in OutboxMessage.objects.values_list("pk", flat=True)[:21]]
    newest = Message.objects.order_by("-pk").values_list("pk", flat=True)[:5]
    details += [reverse("mailbox:message", args=[pk]) + view for pk in newest for view in ("?view=text", "?view=html")]
    details += [reverse("mailbox:account", args=[pk]) for pk in Account.objects.values_list("pk", flat=True)]
    told, found, seen = told_by_rows(), {}, 0
    for url in [*addresses(rows), *details, *MORE]:
        response = reader.get(url)
        if is_page(response) and not is_mail(url):
            seen += 1
            page = response.content.decode()
            found[url] = forgotten(page, told + asked_by(url)) + not_as_written(url, page, told + asked_by(url))
    nothing_of(found)
    assert seen > 80


@pytest.mark.django_db
@WHO_SEES_MOST
@pytest.mark.long
def test_no_click_is_answered_with_what_the_catalogue_has_not(
    reader: Client, rows: dict[str, int], troubles: None
) -> None:
    """Each form is sent empty, or wrong: what is refused, and what is done, is told."""
    told, found = told_by_rows(), {}
    names = ("email", "time_zone", "to", "send_at", "max_size", "types", "url")
    wrong = dict.fromkeys(names, "Ж")  # with no letter that could be one of ours
    for name, expected in EXPECTED.items():
        if not expected.to_post or name in ("logout", "login", "mailbox:account_sign_in"):
            continue
        url = reverse(name, args=[*(rows[each] for each in expected.names), *expected.args])
        for given in ({}, wrong) if "delete" not in name and "discard" not in name else ():
            response = reader.post(url, given, follow=True)
            if is_page(response) and not is_mail(url):
                found[f"{url} {given}"] = forgotten(response.content.decode(), told) and forgotten(
                    response.content.decode(), told_by_rows()
                )  # a click may have written new rows
    nothing_of(found)
    assert len(found) > 50


@pytest.mark.django_db
@pytest.mark.long
def test_what_a_site_without_mail_says_is_in_the_catalogue_too(
    pseudo: None, client: Client, make_user: Callable[..., User]
) -> None:
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = pseudo_locale.CODE
    found = {"login": forgotten(client.get(reverse("login")).content.decode(), [])}
    for role in ("administrator", "viewer", ""):
        client.force_login(make_user(role))
        told = told_by_rows()
        for name, expected in EXPECTED.items():
            if expected.to_read and not expected.names and not is_mail(reverse(name, args=expected.args)):
                response = client.get(reverse(name, args=expected.args))
                found[f"{name} {role}"] = forgotten(response.content.decode(), told) if is_page(response) else []
    SendingSwitch.objects.create(paused_at=timezone.now())
    found["paused"] = forgotten(client.get(reverse("outbox:list")).content.decode(), told)
    nothing_of(found)


def test_a_number_is_told_that_is_not_written_as_its_language_does_and_one_that_a_program_cannot_read() -> None:
    page = '<a href="/?page=⟪2⟫" title="⟪2⟫">⟪2⟫⟦ of ⟧12</a> <time>3</time> UID 4 <b>Mail 5</b><i data-n="6">7</i>'
    assert not_as_written("/", page, ["Mail 5"]) == [
        "for programs: <a[href]> /?page=⟪2⟫",
        "a number: <a> 12",
        "a number: <i> 7",
    ]


def test_a_forgotten_text_is_told_with_where_it_stands() -> None:
    page = '<p>⟦Sent by ⟧Ann <b title="Forgotten">⟦now⟧</b> and gone</p><code>As said</code>'
    assert forgotten(page, ["Ann"]) == ["<b[title]> Forgotten", "<p> and gone"]
