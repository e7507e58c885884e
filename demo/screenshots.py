"""`make screenshots`: every page of the demo, as a wide screen and a phone show it, light and dark; in the language
of LANGUAGE_NAME, else in English.

The pictures land in var/screenshots, NAME-WIDTH-THEME.png. A page that scrolls sideways, answers an error or writes to
the console is named, and the exit status is 1.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from demo.__main__ import ADMIN, ADMIN_PASSWORD
from tests.servers.chromium import FLAGS, find_chromium
from tests.servers.ports import free_ports

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "var" / "screenshots"
WIDTHS, THEMES = (1440, 390), ("light", "dark")
PAGES = {
    "dashboard": "/",
    "accounts": "/accounts/",
    "account-start": "/accounts/add/",
    "account-add": "/accounts/add/?preset=gmail",
    "test-mail": "/accounts/1/test-mail/",
    "account": "/accounts/1/",
    "account-edit": "/accounts/1/edit/",
    "account-folders": "/accounts/1/folders/",
    "account-runs": "/accounts/1/runs/",
    "account-import": "/accounts/import/",
    "completeness": "/accounts/1/completeness/",
    "messages": "/messages/",
    "conversations": "/messages/?by=conversation",
    "search": "/messages/search/?q=has:attachment",
    "senders": "/messages/senders/",
    "export-new": "/messages/export/",
    "exports": "/exports/",
    "quarantine": "/quarantine/",
    "stored-mail": "/stored-mail/",
    "outbox": "/outbox/?state=retrying",
    "outbox-failed": "/outbox/?state=failed_for_good",
    "outbox-correct": "/outbox/correct/",
    "compose": "/outbox/compose/",
    "drafts": "/outbox/drafts/",
    "attachments": "/outbox/attachments/",
    "policy": "/outbox/attachments/policy/",
    "storage": "/outbox/attachments/storage/",
    "alerts": "/alerts/",
    "alert-add": "/alerts/add/",
    "activity": "/activity/",
    "people": "/people/",
    "personal-data": "/personal-data/",
    "system": "/system/",
    "webhook-add": "/alerts/webhooks/add/",
    "endings": "/alerts/endings/",
    "suppressed": "/outbox/suppressed/",
    "message-team": "/messages/1/team/",
    "profile": "/profile/",
    "charts": "/charts/",
    "retention": "/retention/",
    "features": "/features/",
    "tokens": "/tokens/",
    "api": "/api/",
    "providers": "/providers/",
    "saved-replies": "/outbox/replies/",
    "invite": "/people/invite/",
    "second-factor": "/second-factor/",
    "keyboard": "/keyboard/",
    "admin": "/admin/",
    "not-found": "/messages/999999/",
}
SENT = (  # to, subject, and the state that it reaches
    ("nobody@refuse.example", "The quarterly figures", "failed_for_good"),
    ("late@slow.example", "A question about the invoice", "retrying"),
    ("carol@lost.example", "The contract, signed", "needs_decision"),
)


@contextmanager
def site() -> Iterator[str]:
    """The demo on a free port, until it is no longer needed."""
    (port,) = free_ports(1)
    running = subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=os.environ | {"PRX_EMAIL_BIND": f"127.0.0.1:{port}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if "fetched=" in line and "fetched=0" not in line:  # there is mail to look at
                break
        threading.Thread(target=running.stdout.read, daemon=True).start()  # a full pipe would hold the site up
        yield f"http://127.0.0.1:{port}"
    finally:
        running.send_signal(signal.SIGINT)
        running.wait()


def sign_in(browser: Browser, address: str, width: int, theme: str) -> Page:
    """A page that is signed in, of this width in pixels and theme."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        locale=sys.argv[1] if len(sys.argv) > 1 else "en",
    )
    page = context.new_page()
    page.goto(f"{address}/login/")
    page.fill("[name=username]", ADMIN)
    page.fill("[name=password]", ADMIN_PASSWORD)
    page.click("main form button")
    return page


def send_some(page: Page, address: str) -> None:
    """One that is refused, one that is put off and one that a person must decide about, for the outbox to show."""
    for to, subject, _state in SENT:
        page.goto(f"{address}/outbox/compose/")
        page.fill("[name=to]", to)
        page.fill("[name=subject]", subject)
        page.fill("[name=body_text]", "Good morning,\n\nas promised.\n\nKind regards\nAnn")
        page.locator("[name=body_text]").press("Control+Enter")  # the button has another name in each language
        page.wait_for_url(re.compile(r"/outbox/\d+/"))
    for _to, subject, state in SENT:  # once they may no longer be undone
        page.goto(f"{address}/outbox/?state={state}")
        while not page.locator("main a[href^='/outbox/']").filter(has_text=subject).count():
            page.wait_for_timeout(1_000)
            page.reload()


def found(page: Page, address: str) -> dict[str, str]:
    """Pages whose numbers are not known before: the newest message, a conversation's, and the newest send."""
    more = {}
    for name, listed, link in (
        ("message", "/messages/", r"/messages/\d+/$"),
        ("message-attached", "/messages/search/?q=has:attachment", r"/messages/\d+/$"),
        ("send", "/outbox/?state=failed_for_good", r"/outbox/\d+/$"),
        ("send-waiting", "/outbox/?state=retrying", r"/outbox/\d+/$"),
        ("send-question", "/outbox/?state=needs_decision", r"/outbox/\d+/$"),
    ):
        page.goto(address + listed)
        links = page.locator("main a[href]").evaluate_all("all => all.map(each => each.getAttribute('href'))")
        hits = [each for each in links if re.search(link, each.split("?")[0])]
        if hits:
            more[name] = hits[0]
    return more


def shoot(page: Page, address: str, name: str, path: str, label: str) -> list[str]:
    """Take one picture; returns sentences about what is wrong with the page."""
    answered = page.goto(address + path)
    page.wait_for_timeout(400)
    page.screenshot(path=TARGET / f"{name}-{label}.png", full_page=True)
    wrong = []
    if answered is None or answered.status >= 500:
        wrong.append(f"{name} {label}: answered {answered and answered.status}")
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        wrong.append(f"{name} {label}: scrolls sideways")
    return wrong


def take(browser: Browser, address: str) -> list[str]:
    """Take all pictures; returns sentences about what is wrong."""
    wrong: list[str] = []
    first = sign_in(browser, address, WIDTHS[0], THEMES[0])
    send_some(first, address)
    pages = PAGES | found(first, address)
    for width in WIDTHS:
        for theme in THEMES:
            page = sign_in(browser, address, width, theme)
            for name, path in pages.items():
                wrong += shoot(page, address, name, path, f"{width}-{theme}")
            page.context.close()
    return wrong


def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    flags = FLAGS + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with site() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        wrong = take(browser, address)
        browser.close()
    print(*wrong, f"The pictures are in {TARGET.relative_to(ROOT)}.", sep="\n")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
