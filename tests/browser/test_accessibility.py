"""axe-core finds nothing on our pages, light and dark, wide and on a phone. It comes from npm: else only CI fails."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, ViewportSize, expect

from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.autoconfig.servers import Discovery, LookupOutcome, LookupStep, ServerRefusal, SettingsSource, to_json
from mailbox.models import Account, AccountGrant, SettingsLookup, SyncRun, Transport
from outbox.models import OutboxMessage
from tests.addresses import EXPECTED, rows
from tests.conftest import missing
from tests.rows import attempt

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["rows"]
AXE = "axe-core@4.10.3"
# What is no page of its own: fragments, frames with a stranger's HTML, downloads, plain text.
NO_PAGE = (
    "eml",
    "attachment",
    "html",
    "state",
    "changes",
    "badges",
    "messages_new",
    "html_measured",
    "listed",
    "live",
    "workers",
    "ready",
    "picture",
    "compose_picture",
    "images",
    "print",
    "addresses",
    "export_file",
    "manifest",
    "csv",
    "report",
    "reply_text",
)
FIND = "axe.run(document, {iframes: false, resultTypes: ['violations'], rules: {'target-size': {enabled: true}}})"


Schemes = tuple[Literal["light", "dark"], ...]
SIZES = (ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844))
# Each page once in CI, every other one dark; `make test-long` has all in both.
IN_TURNS = pytest.param(("light", "dark"), id="in turns")
BOTH = [pytest.param((scheme,), id=scheme, marks=pytest.mark.long) for scheme in ("light", "dark")]


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is missing: apt-get install npm")
        raise AssertionError("missing() ends the test")
    folder: Path = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        missing(f"npm could not fetch {AXE}: {error}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def reader(browser: Browser, live_site: str, make_user: Callable[..., User]) -> Iterator[Page]:
    yield from signed_in(browser, live_site, make_user("administrator"))


def signed_in(browser: Browser, live_site: str, user: User, locale: str = "en") -> Iterator[Page]:
    """Our own policy would keep axe out, as it should."""
    context = browser.new_context(bypass_csp=True, locale=locale)
    page = context.new_page()
    page.goto(f"{live_site}/login/")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    page.wait_for_url(lambda url: "/login" not in url)
    yield page
    context.close()


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate(FIND)
    return [f"{each['id']}: {node['html'][:120]}" for each in found["violations"] for node in each["nodes"]]


def look_at(
    reader: Page, site: str, addresses: list[str], axe: str, schemes: Schemes, sizes: tuple[ViewportSize, ...] = SIZES
) -> None:
    """Each page in one of the schemes and sizes, all of which have their turn."""
    for number, address in enumerate(addresses):
        reader.emulate_media(color_scheme=schemes[number % len(schemes)])
        reader.set_viewport_size(sizes[number // len(schemes) % len(sizes)])
        reader.goto(f"{site}{address}")
        assert violations(reader, axe) == [], address


@pytest.mark.parametrize("schemes", [IN_TURNS, *BOTH])
def test_the_editor_of_formatted_text(
    reader: Page, live_site: str, account: Account, axe: str, schemes: Schemes
) -> None:
    for scheme in schemes:
        reader.emulate_media(color_scheme=scheme)
        reader.goto(f"{live_site}{reverse('outbox:compose')}")
        reader.get_by_role("button", name="Formatting").click()
        expect(reader.locator(".written")).to_be_focused()
        reader.keyboard.type("# Head\n- one\n\n> quote")
        reader.keyboard.press("Control+k")
        expect(reader.get_by_label("Address of the link")).to_be_visible()
        assert violations(reader, axe) == []


def look_ups() -> list[str]:
    """A look-up of the reader's own that runs, one that was given up, and what was found."""
    reader = User.objects.get(groups__name="administrator")
    found = autoconfig_lookup.ask(reader.pk, "ann@outlook.com", now=timezone.now())[0]
    nothing = SettingsLookup.objects.create(
        asked_by=reader, email="ann@example.com", finished_at=timezone.now(), found=to_json(NOTHING)
    )
    runs = SettingsLookup.objects.create(asked_by=reader, email="ann@example.org")
    lost = SettingsLookup.objects.create(asked_by=reader, email="a@b.example", asked_at=timezone.now() - timedelta(1))
    waiting = [reverse("mailbox:account_found", args=[each.pk]) for each in (runs, lost)]
    return [*waiting, *(f"/accounts/add/?lookup={each.pk}" for each in (found, nothing))]


NOTHING = Discovery(
    steps=[
        LookupStep(
            SettingsSource.SRV,
            "_imap._tcp.example.com",
            LookupOutcome.UNUSABLE,
            "imap.example.com:143",
            ServerRefusal.STARTTLS,
            "imap",
        ),
        LookupStep(
            SettingsSource.GUESS, "mail.example.com:993", LookupOutcome.NOTHING, "Nothing answers there.", kind="imap"
        ),
    ]
)


@pytest.mark.parametrize("schemes", [IN_TURNS, *BOTH])
def test_no_page_keeps_anybody_out(
    reader: Page, live_site: str, rows: dict[str, int], axe: str, schemes: Schemes
) -> None:
    attempt(OutboxMessage.objects.get(pk=rows["outbox"]), phase="data", outcome="uncertain", reply="connection lost")
    addresses = page_addresses(rows)
    more = ["/nothing/", "/outbox/?limit=0", "/outbox/?state=sent&code=5xx", "/messages/search/?q=larger:x"]
    more += ["/outbox/all/?action=retry", "/accounts/add/?preset=protonmail", *look_ups()]
    of_all = 2 if schemes == IN_TURNS.values[0] else 1  # in the short run each second page
    for sizes in [SIZES] if of_all == 2 else [SIZES[:1], SIZES[1:]]:
        look_at(reader, live_site, (addresses + more)[::of_all], axe, schemes, sizes)
    reader.goto(f"{live_site}{reverse('mailbox:account_import')}")
    content = b"email,display_name\nops@example.com,Ops\nann@example.org,Ann\n"  # one is changed, one refused
    reader.set_input_files("[name=file]", {"name": "a.csv", "mimeType": "text/csv", "buffer": content})
    reader.click("#look")
    reader.wait_for_selector("table.list")
    assert violations(reader, axe) == []


def page_addresses(rows: dict[str, int]) -> list[str]:
    names = [name for name, each in EXPECTED.items() if each.to_read and not name.endswith(NO_PAGE)]
    return [
        reverse(name, args=[*(rows[each] for each in EXPECTED[name].names), *EXPECTED[name].args]) for name in names
    ]


@pytest.mark.parametrize("locale", ["ar", "ja", "ko", "zh-CN"])
@pytest.mark.long
def test_no_page_keeps_anybody_out_in_its_language(
    browser: Browser, live_site: str, make_user: Callable[..., User], rows: dict[str, int], axe: str, locale: str
) -> None:
    for page in signed_in(browser, live_site, make_user("administrator"), locale):
        expect(page.locator("html")).to_have_attribute("lang", locale.replace("zh-CN", "zh-hans"))
        for size in SIZES:
            look_at(page, live_site, page_addresses(rows), axe, ("light", "dark"), (size,))


def admin_addresses(*, every: bool) -> list[str]:
    """The admin's lists, filled where there are rows, a row of each, and what is special; `every` adds what looks the
    same for each table: lists and rows of the others, a search without hits, and histories."""
    found = [
        reverse("admin:index"),
        *(reverse("admin:app_list", args=[each]) for each in ("mailbox", "outbox", "auth")),
    ]
    for model in admin.site._registry if every else (User, Account, Transport, OutboxMessage, SyncRun):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found += [reverse(f"{name}_changelist"), f"{reverse(f'{name}_changelist')}?q=a"]
        if (row := model._default_manager.order_by("pk").first()) is not None:
            found += [reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "history")]
    grant = AccountGrant.objects.latest("pk")
    found += [
        reverse("admin:auth_user_add"),
        reverse("admin:mailbox_accountgrant_add"),
        reverse("admin:auth_group_add"),
    ]
    found += [reverse("admin:mailbox_accountgrant_delete", args=[grant.pk])]
    return [*found, reverse("admin:auth_user_password_change", args=[User.objects.latest("pk").pk])]


@pytest.mark.parametrize("schemes", [IN_TURNS, *BOTH])
@pytest.mark.long
def test_no_page_of_the_admin_keeps_anybody_out(
    reader: Page, live_site: str, rows: dict[str, int], axe: str, schemes: Schemes
) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    AccountGrant.objects.create(user=User.objects.latest("pk"), account_id=rows["account"], role="viewer")
    look_at(reader, live_site, admin_addresses(every=len(schemes) == 1), axe, schemes, SIZES[:1])
