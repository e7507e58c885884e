"""Fixtures of the browser tests: a real Chromium, and the site on a free port with the test database."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",  # /dev/shm is 64 MB in a container
]

# A page is seen before its deferred scripts have run, and a click of Playwright's comes sooner than a person's. So a
# page takes no click until it has loaded: Playwright waits for the place it clicks to take clicks.
CLICKS_WAIT_FOR_SCRIPTS = """
if (window === window.top) {
  const root = () => document.documentElement;
  const hold = () => { if (root()) root().style.pointerEvents = "none"; return root(); };
  const begun = new MutationObserver((_, seen) => { if (hold()) seen.disconnect(); });
  if (!hold()) begun.observe(document, { childList: true });
  window.addEventListener("load", () => { root().style.pointerEvents = ""; });
}
"""


def find_chromium() -> str | None:
    """Debian's Chromium, its headless shell first, which takes half as much of the processor. Ubuntu's
    `chromium-browser` may be a stub that asks for snap, which a container has not."""
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        path = shutil.which(name)
        if path and os.path.getsize(path) and "snap" not in os.path.realpath(path) and not _asks_for_snap(path):
            return path
    return None


def _asks_for_snap(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(8192)
    return head.startswith(b"#!") and b"snap install" in head


_LOOP = pytest.StashKey[asyncio.AbstractEventLoop | None]()


# Playwright's synchronous interface leaves an event loop running in this thread. Django takes that for a coroutine and
# keeps other connections there, and asyncio.run refuses: a test without a browser is not to know of it.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if "browser" not in getattr(item, "fixturenames", ()):
        item.stash[_LOOP] = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    result = yield
    if _LOOP in item.stash and nextitem is not None:
        asyncio._set_running_loop(item.stash[_LOOP])
    return result


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    # Beside that event loop Django would refuse the tests with a browser.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=15_000)  # milliseconds; several browsers share two cores with other tests
    with sync_playwright() as playwright:
        # Playwright's own Chromium is there when somebody ran `playwright install chromium`, e.g. on Ubuntu.
        if path is None and not os.path.exists(playwright.chromium.executable_path):
            reason = (
                "Chromium is missing: apt-get install chromium-headless-shell "
                "(Ubuntu: .venv/bin/playwright install chromium)"
            )
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        flags = FLAGS + (["--no-sandbox"] if os.geteuid() == 0 else [])
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        loop = asyncio._get_running_loop()
        yield browser
        asyncio._set_running_loop(loop)  # the browser ends with the last test, which may be one without it
        browser.close()


@pytest.fixture
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(15_000)
    context.add_init_script(CLICKS_WAIT_FOR_SCRIPTS)
    yield context
    context.close()


@pytest.fixture
def foreign_requests(browser_context: BrowserContext) -> list[str]:
    """The addresses outside this machine that pages asked for; none of them is reached."""
    seen: list[str] = []

    def refuse(route: Any) -> None:
        seen.append(route.request.url)
        route.abort()

    browser_context.route(lambda url: not url.startswith(("http://localhost", "http://127.0.0.1", "data:")), refuse)
    return seen


@pytest.fixture
def page(browser_context: BrowserContext, foreign_requests: list[str]) -> Page:
    return browser_context.new_page()


@pytest.fixture
def live_site(live_server: LiveServer) -> str:
    """The site's address, served by threads of this process on the test database."""
    return str(live_server.url)


@pytest.fixture
def signed_in_page(page: Page, live_site: str, make_user: Callable[..., Any]) -> Page:
    """A page of an administrator who has signed in through the form."""
    user = make_user("administrator", password="sign-in-please")
    page.goto(f"{live_site}/login/")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    page.wait_for_url(lambda url: "/login" not in url)
    return page
