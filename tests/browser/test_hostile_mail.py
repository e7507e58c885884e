"""Hostile mail in a real browser: nothing runs, nothing outside is asked for, nothing leaves the frame."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.urls import reverse
from playwright.sync_api import Page

from mailbox.html import sanitizer
from mailbox.html.sanitizer import SafeHtml
from mailbox.models import Account, Message
from tests.mailbox.html.hostile_html import HOSTILE
from tests.rows import letter, letter_with, store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

# Shows the addresses in frames like the page's own, eight at a time.
READ_ALL = """async (addresses) => {
  const own = document.querySelector("iframe.mail-frame");
  const shown = (address) => new Promise((resolve) => {
    const frame = own.cloneNode();
    if (address.endsWith("/measured/")) frame.setAttribute("sandbox", "allow-same-origin"); // as frame.js makes its own
    frame.onload = () => resolve(frame);
    setTimeout(() => resolve(frame), 5000);
    frame.src = address;
    own.after(frame);
  });
  while (addresses.length) {
    const frames = await Promise.all(addresses.splice(0, 8).map(shown));
    for (const frame of frames) frame.remove();
  }
}"""


class Outside:
    """A server that stands for the rest of the world: it only counts who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        outside = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.asked.append(self.path)
                body = b"" if self.path != "/page" else b'<img src="/seen"><script>alert("heard")</script>'
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    server = Outside()
    yield server
    server.stop()


@pytest.fixture
def dialogs(signed_in_page: Page) -> list[str]:
    """What scripts said aloud: every trick of the corpus calls alert() when it runs."""
    said: list[str] = []

    def note(dialog: object) -> None:
        said.append(dialog.message)  # type: ignore[attr-defined]
        dialog.dismiss()  # type: ignore[attr-defined]

    signed_in_page.on("dialog", note)
    return said


def aimed(outside: Outside) -> list[str]:
    """The corpus, its outside addresses being those of the server that counts; and plain loads of every kind."""
    at = f"http://{outside.host}"
    more = [
        f'<img src="{at}/img"><img srcset="{at}/srcset 2x"><picture><source srcset="{at}/source"><img></picture>',
        f'<p style="background:url({at}/css)">x</p><style>@import "{at}/import";p{{background:url({at}/css2)}}</style>',
        f'<link rel=stylesheet href="{at}/link"><link rel=prefetch href="{at}/prefetch"><link rel=icon href={at}/i>',
        f'<meta http-equiv="refresh" content="0;url={at}/refresh"><base href="{at}/"><img src="based">',
        f'<iframe src="{at}/iframe"></iframe><object data="{at}/object"></object><embed src="{at}/embed">',
        f'<video src="{at}/video" poster="{at}/poster" autoplay></video><audio src="{at}/audio" autoplay></audio>',
        f'<svg><image href="{at}/svg"/><use href="{at}/use#x"/></svg><table background="{at}/background"><tr><td>x',
        f'<form action="{at}/form"><input autofocus onfocus="this.form.submit()"><button>x</button></form>',
        f'<script>fetch("{at}/fetch"); new Image().src = "{at}/image"; top.location = "{at}/top"; alert(1)</script>',
        f'<img src=x onerror=\'parent.document.title = "taken"; location = "{at}/onerror"; alert(1)\'>',
        f'<a href="{at}/a" ping="{at}/ping">x</a><body background="{at}/body"><input type=image src="{at}/input">',
    ]
    tricks = [trick.replace("evil.example", outside.host).replace("https://127", "http://127") for trick in HOSTILE]
    return tricks + more


def stored(account: Account, tricks: list[str]) -> Message:
    """All tricks as messages; the last one is returned."""
    for number, trick in enumerate(tricks):
        kept = trick.replace("\0", "\ufffd")  # as the parser stores it: PostgreSQL takes no NUL
        last = store(account, letter(f"trick {number}", html="<p>placeholder</p>"), body_html=kept)
    return last


def read_all(page: Page, site: str, last: Message) -> str:
    """Open the page of the last message, show every message in its frame; return the page's title afterwards."""
    address = f"{site}{reverse('mailbox:message', args=[last.pk])}?view=html"
    page.goto(address)
    pks = list(Message.objects.values_list("pk", flat=True))
    for name in ("mailbox:message_html", "mailbox:message_html_measured"):
        page.evaluate(READ_ALL, [reverse(name, args=[pk]) for pk in pks])
    page.wait_for_load_state("networkidle")
    assert page.url == address
    return page.title()


def test_the_counting_server_and_the_dialogs_would_notice(
    signed_in_page: Page, outside: Outside, dialogs: list[str]
) -> None:
    signed_in_page.goto(f"http://{outside.host}/page")
    signed_in_page.wait_for_load_state("networkidle")
    assert {"/page", "/seen"} <= set(outside.asked)
    assert dialogs == ["heard"]


@pytest.mark.parametrize("half", range(2))
@pytest.mark.in_part(2)
def test_no_hostile_mail_runs_or_asks_for_anything(
    signed_in_page: Page,
    live_site: str,
    account: Account,
    outside: Outside,
    dialogs: list[str],
    foreign_requests: list[str],
    half: int,
) -> None:
    last = stored(account, aimed(outside)[half::2])
    title = read_all(signed_in_page, live_site, last)
    assert "taken" not in title
    assert (outside.asked, dialogs, foreign_requests) == ([], [], [])


@pytest.mark.parametrize("half", range(2))
@pytest.mark.in_part(2)
def test_the_sandbox_holds_even_if_the_sanitiser_let_everything_through(
    signed_in_page: Page,
    live_site: str,
    account: Account,
    outside: Outside,
    dialogs: list[str],
    foreign_requests: list[str],
    monkeypatch: pytest.MonkeyPatch,
    half: int,
) -> None:
    monkeypatch.setattr(sanitizer, "safe_html", lambda html, *_args, **_more: SafeHtml(html, 0))
    last = stored(account, aimed(outside)[half::2])
    title = read_all(signed_in_page, live_site, last)
    assert "taken" not in title
    assert (outside.asked, dialogs, foreign_requests) == ([], [], [])


def test_the_frame_shows_the_mail_and_its_pictures_from_within(
    signed_in_page: Page, live_site: str, account: Account
) -> None:
    message = store(account, letter(html="<h1>Guten Tag</h1><p style='color:#ff0000'>rot</p>"))
    signed_in_page.goto(f"{live_site}{reverse('mailbox:message', args=[message.pk])}")
    frame = signed_in_page.frame_locator("iframe.mail-frame")
    frame.get_by_role("heading", name="Guten Tag").wait_for()
    assert frame.get_by_text("rot").evaluate("element => getComputedStyle(element).color") == "rgb(255, 0, 0)"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/plain"])
@pytest.mark.in_part(2)
def test_a_hostile_attachment_is_saved_and_never_opened_in_our_origin(
    signed_in_page: Page, live_site: str, account: Account, dialogs: list[str], kind: str
) -> None:
    content = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
    message = store(account, letter_with(content, "trick.svg", kind))
    signed_in_page.goto(f"{live_site}{reverse('mailbox:message', args=[message.pk])}?view=text")
    with signed_in_page.expect_download() as saved:
        signed_in_page.get_by_role("link", name="Download trick.svg").click()
    assert saved.value.path().read_bytes() == content
    assert dialogs == []
