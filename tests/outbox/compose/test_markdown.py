"""A mail written in Markdown: bold, lists, links and pictures for who sees HTML, the text as typed for all others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mailbox.mime import message as mime_message
from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.compose import markdown_text
from outbox.compose.create import attachment_bytes
from outbox.models import Draft, OutboxMessage
from tests.rows import NOWHERE

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
TEXT = "Dear **Ann**,\n\n- one\n- [two](https://a.example/)\n\n![The plan](plan 1.png)\n"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**b** *i*\nnext", '<p dir="auto"><strong>b</strong> <em>i</em><br>\nnext</p>\n'),
        ("<script>x</script>", '<p dir="auto">&lt;script&gt;x&lt;/script&gt;</p>\n'),
        ("<img src=x onerror=y>", '<p dir="auto">&lt;img src=x onerror=y&gt;</p>\n'),
        ("[x](javascript:alert(1))", '<p dir="auto">[x](javascript:alert(1))</p>\n'),
        ("[x](data:text/html,y)", '<p dir="auto">[x](data:text/html,y)</p>\n'),
        ("![dot](https://t.example/a.gif)", '<p dir="auto">dot</p>\n'),
        ("![dot](cid:other)", '<p dir="auto">dot</p>\n'),
        (
            "> quoted\n\n-- \nThe desk",
            '<blockquote dir="auto">\n<p>quoted</p>\n</blockquote>\n<p dir="auto">--<br>\nThe desk</p>\n',
        ),
    ],
)
def test_a_text_becomes_html_in_which_nothing_runs_and_nothing_comes_from_afar(text: str, html: str) -> None:
    assert markdown_text.html_of(text) == html


def test_nesting_without_end_ends() -> None:
    assert len(markdown_text.html_of("> " * 5_000 + "x")) < 20_000


def queued(client: Client, account: Account, text: str, do: str = "") -> None:
    form = {"account": account.pk, "to": "ann@example.com", "subject": "Plan", "body_text": text, "do": do}
    files = [
        SimpleUploadedFile("a.pdf", b"%PDF-1.4", "application/pdf"),
        SimpleUploadedFile("plan 1.png", PNG, "image/png"),
    ]
    given = form | {"text_format": "markdown", "attachments": files}
    assert client.post("/outbox/compose/", given).status_code == 302


@pytest.mark.django_db
@pytest.mark.pages
def test_a_picture_of_the_text_goes_within_its_html_and_files_beside_it(
    client: Client, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    client.force_login(make_user("operator"))
    queued(client, account, TEXT)
    row = OutboxMessage.objects.get()
    mail = mime_message.parse(raw_store.open_raw(row.mime_digest))
    assert mail.body_text == row.body_text == TEXT
    assert "<strong>Ann</strong>" in mail.body_html and '<a href="https://a.example/">two</a>' in mail.body_html
    picture, file = mail.attachments
    assert (picture.filename, picture.is_inline, file.filename, file.is_inline) == ("plan 1.png", True, "a.pdf", False)
    assert f'<img src="cid:{picture.content_id}" alt="The plan" style="max-width:100%">' in mail.body_html
    stored = {each.filename: attachment_bytes(each) for each in row.attachment_rows.all()}
    assert stored == {"plan 1.png": PNG, "a.pdf": b"%PDF-1.4"}
    again = client.get(f"/outbox/compose/?again={row.pk}").content.decode()
    assert '<option value="markdown" selected>' in again, "what is written again is written as it was"


@pytest.mark.django_db
@pytest.mark.pages
def test_a_draft_keeps_its_format_and_is_shown_as_it_will_look(
    client: Client, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    client.force_login(make_user("operator"))
    queued(client, account, TEXT + "<b onclick=x>raw</b>", do="preview")
    draft = Draft.objects.get()
    assert (draft.text_format, draft.files.count(), OutboxMessage.objects.count()) == ("markdown", 2, 0)
    page = client.get(f"/outbox/compose/?draft={draft.pk}&key={draft.key}&preview=1").content.decode()
    shown = page.split('id="preview"')[1].split("</section>")[0]
    assert "<strong>Ann</strong>" in shown and "&lt;b onclick=x&gt;raw" in shown and "<img" not in shown
