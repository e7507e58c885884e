"""A mail written as HTML: what goes out of what a page sends, its text, its pictures, and the way back to writing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mailbox.mime import message as mime_message
from mailbox.models import Account, AccountGrant
from mailbox.storage import raw_store
from outbox import api
from outbox.compose import formatted_text, text_formats
from outbox.compose.attachments import AttachmentInput
from outbox.compose.plain_part import text_of
from outbox.models import Draft, OutboxMessage, SavedReply
from tests.rows import NOWHERE

COMPOSE, SAVE, CONVERT, PICTURE = (
    "/outbox/compose/",
    "/outbox/drafts/save/",
    "/outbox/compose/convert/",
    "/outbox/compose/picture/",
)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1" + bytes(40)  # one pixel
SHOWN = formatted_text.content_id(AttachmentInput(content=PNG))
HTML = f'<p>Dear <strong>Ann</strong>,</p><ul><li><p>one</p></li></ul><p><img src="cid:{SHOWN}" alt="Plan"></p>'
SENT = (
    '<p dir="auto">Dear <strong>Ann</strong>,</p><ul dir="auto"><li><p>one</p></li></ul>'
    f'<p dir="auto"><img src="cid:{SHOWN}" alt="Plan" style="max-width:100%"></p>'
)
TEXT = "Dear Ann,\n\n- one\n\n[Plan]\n"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("<script>alert(1)</script><p onclick=x style='position:fixed'>a</p>", '<p dir="auto">a</p>'),
        ('<p><img src="https://t.example/a.gif" alt="dot"></p>', '<p dir="auto">dot</p>'),
        ('<p><img src="//t.example/a.gif" alt="&lt;b&gt;"></p>', '<p dir="auto">&lt;b&gt;</p>'),
        ('<p><img src="data:image/png;base64,AA" alt="d"><img src="cid:other"></p>', '<p dir="auto">d</p>'),
        ('<p><a href="javascript:alert(1)" target="_blank">a</a></p>', '<p dir="auto"><a>a</a></p>'),
        ('<p><a href="cid:other">a</a><a href="/x">b</a></p>', '<p dir="auto"><a>a</a><a>b</a></p>'),
        ("<style>p{}</style><svg><text>x</text></svg><iframe srcdoc=x></iframe>", ""),
        ('<form action="/x"><input value="a"><button>b</button></form>', "b"),
        ("<p></p><p>a&nbsp; b &amp;lt;</p>", '<p dir="auto"><br></p><p dir="auto">a\xa0 b &amp;lt;</p>'),
        ('<blockquote dir="ltr"><p dir="rtl">a</p></blockquote>', '<blockquote dir="auto"><p>a</p></blockquote>'),
        ('<p><u>a</u><font color="red">b</font><!-- c --></p>', '<p dir="auto"><u>a</u>b</p>'),
        ("<p>a<b>b", '<p dir="auto">a<b>b</b></p>'),
    ],
)
def test_what_a_page_sends_is_made_safe_and_stays_as_it_is_then(given: str, sent: str) -> None:
    assert formatted_text.clean(given) == sent
    assert formatted_text.clean(sent) == sent


def test_nesting_without_end_ends() -> None:
    assert formatted_text.clean("<blockquote>" * 5_000 + "x").count("<blockquote") <= 150
    assert formatted_text.html_of("> " * 5_000 + "x").count("<blockquote") == formatted_text.MAX_DEPTH


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a<br>b</p><p>c</p>", "a\nb\n\nc\n"),
        ("<h2>Head</h2><p></p><p>a</p>", "Head\n\n\na\n"),
        (
            "<ul><li><p>one</p><ol start='3'><li>in</li><li>more<br>of it</li></ol></li><li>two</li></ul><p>a</p>",
            "- one\n  3. in\n  4. more\n     of it\n- two\n\na\n",
        ),
        (
            "<p>Ann wrote:</p><blockquote><p>a</p><p>b</p><blockquote><p>c</p></blockquote></blockquote><p>d</p>",
            "Ann wrote:\n> a\n>\n> b\n>\n>> c\n\nd\n",
        ),
        (
            "<p><a href='https://a.example/x'>here</a> <a href='https://b.example'>https://b.example</a></p>",
            "here <https://a.example/x> https://b.example\n",
        ),
        ("<p><a href='mailto:a@b.example'>a@b.example</a></p>", "a@b.example\n"),
        ("<p>--<br>The desk</p>", "-- \nThe desk\n"),
        ("<pre>a\n  b</pre><hr><p>c</p>", "a\n  b\n\n---\n\nc\n"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table><p>a</p>", "1 | 2\n3 | 4\n\na\n"),
        ("<p>a\n  b&nbsp; c</p>", "a b  c\n"),
        ("<p></p>", ""),
    ],
)
def test_the_text_says_what_the_html_says(html: str, text: str) -> None:
    assert text_of(formatted_text.clean(html)) == text


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n\nc\n\n\nd",
        "\n\n-- \nThe desk\n\nExample Ltd <x>\n\n\nOn 2026-01-01 at 10:00, Ann wrote:\n> hello\n>\n> there\n\nbelow",
        "  two  spaces & <b>&amp;</b>",
        "مرحبا\n\n> نص",
    ],
)
def test_a_plain_text_comes_back_from_the_editor_as_it_was(text: str) -> None:
    html = text_formats.as_formatted("", text)
    assert text_formats.as_plain("html", html) == f"{text}\n"


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


def typed(account: Account, **changes: Any) -> dict[str, Any]:
    base = {"account": account.pk, "to": "ann@example.com", "subject": "Plan", "body_text": HTML, "text_format": "html"}
    return {**base, "idempotency_key": str(uuid.uuid4()), **changes}


def picture() -> SimpleUploadedFile:
    return SimpleUploadedFile("plan.png", PNG, "image/png")


@pytest.mark.django_db
@pytest.mark.pages
def test_a_picture_goes_within_the_html_and_the_mail_is_written_again_as_it_was(
    operator: Client, account: Account
) -> None:
    files = [SimpleUploadedFile("a.pdf", b"%PDF-1.4", "application/pdf"), picture()]
    assert operator.post(COMPOSE, typed(account, attachments=files)).status_code == 302
    row = OutboxMessage.objects.get()
    assert (row.body_text, row.body_html) == (TEXT, SENT)
    mail = mime_message.parse(raw_store.open_raw(row.mime_digest))
    assert (mail.body_text, mail.body_html.rstrip()) == (TEXT, SENT)
    shown, file = mail.attachments
    assert (shown.content_id, shown.is_inline, file.filename, file.is_inline) == (SHOWN, True, "a.pdf", False)
    frame = operator.get(f"/outbox/{row.pk}/html/").content.decode()
    assert 'src="data:image/png;base64,' in frame, "the page of the mail shows it too"
    form = operator.get(f"{COMPOSE}?again={row.pk}").context["form"]
    assert (form["text_format"].value(), form["body_text"].value(), form.pictures) == ("html", SENT, {SHOWN: "0"})
    answer = operator.get(f"{PICTURE}?again={row.pk}&file=0")
    assert (answer.content, answer["Content-Type"]) == (PNG, "image/png")


@pytest.mark.django_db
@pytest.mark.pages
def test_a_mail_of_a_program_is_written_again_as_text(operator: Client, account: Account) -> None:
    assert api.queue(account.pk, "a@example.com", "S", "The text", body_html='<p style="color:red">HTML</p>').ok
    form = operator.get(f"{COMPOSE}?again={OutboxMessage.objects.get().pk}").context["form"]
    assert (form["text_format"].value(), form["body_text"].value()) == ("", "The text")


@pytest.mark.django_db
@pytest.mark.pages
def test_a_draft_keeps_what_was_written_and_serves_its_pictures_to_its_writer_alone(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    said = operator.post(SAVE, typed(account, attachments=[picture()], page="p", page_save="1")).json()
    draft = Draft.objects.get()
    assert (draft.body_text, draft.text_format) == (HTML, "html")
    assert [(each["name"], each["picture"]) for each in said["files"]] == [("plan.png", SHOWN)]
    key = said["files"][0]["key"]
    page = operator.get(f"{COMPOSE}?draft={draft.pk}&key={draft.key}")
    form = page.context["form"]
    assert (form["body_text"].value(), form["text_format"].value(), form.pictures) == (HTML, "html", {SHOWN: key})
    answer = operator.get(f"{PICTURE}?draft={draft.pk}&file={key}")
    assert (answer.content, answer["Content-Type"]) == (PNG, "image/png")
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert operator.get(f"{PICTURE}?draft={draft.pk}&file=draft-0").status_code == 302, "a placeholder"
    another = Client()
    another.force_login(make_user("operator"))
    assert another.get(f"{PICTURE}?draft={draft.pk}&file={key}").status_code == 404
    sent = typed(account, draft=draft.pk, version=draft.version, idempotency_key=str(draft.key), kept=[key])
    assert operator.post(f"{COMPOSE}?draft={draft.pk}&key={draft.key}", sent).status_code == 302
    assert OutboxMessage.objects.get().body_html == SENT and not Draft.objects.exists()


@pytest.mark.django_db
@pytest.mark.pages
def test_a_picture_that_is_not_attached_or_no_picture_is_not_named(operator: Client, account: Account) -> None:
    pdf = SimpleUploadedFile("a.pdf", PNG, "application/pdf")
    assert operator.post(COMPOSE, typed(account, attachments=[pdf])).status_code == 302
    row = OutboxMessage.objects.get()
    mail = mime_message.parse(raw_store.open_raw(row.mime_digest))
    assert "<img" not in row.body_html and "Plan</p>" in row.body_html
    assert [(each.filename, each.is_inline) for each in mail.attachments] == [("a.pdf", False)]


@pytest.mark.django_db
@pytest.mark.pages
def test_the_same_picture_twice_has_one_content_id(operator: Client, account: Account) -> None:
    assert operator.post(COMPOSE, typed(account, attachments=[picture(), picture()])).status_code == 302
    mail = mime_message.parse(raw_store.open_raw(OutboxMessage.objects.get().mime_digest))
    assert sorted(each.content_id for each in mail.attachments) == ["", SHOWN]


@pytest.mark.django_db
@pytest.mark.pages
@pytest.mark.parametrize("empty", ["", "<p></p>", '<p dir="auto"><br></p><p>&nbsp;</p>', "<p>--<br>The desk</p>"])
def test_an_empty_text_is_asked_about_though_it_has_tags(operator: Client, account: Account, empty: str) -> None:
    Account.objects.update(signature="The desk")
    page = operator.post(COMPOSE, typed(account, body_text=empty)).content.decode()
    assert "The text is empty. Send it all the same?" in page and not OutboxMessage.objects.exists()


@pytest.mark.django_db
@pytest.mark.pages
def test_a_late_save_of_a_mail_that_is_sent_leaves_no_draft(operator: Client, account: Account) -> None:
    given = typed(account, body_text="<p>Dear <em>Ann</em></p>", page="p")
    assert operator.post(COMPOSE, given | {"page_save": "2"}).status_code == 302
    assert operator.post(SAVE, given | {"page_save": "1"}).status_code == 204
    assert not Draft.objects.exists()


@pytest.mark.django_db
@pytest.mark.pages
def test_signed_out_the_text_is_shown_and_the_html_kept(client: Client, account: Account) -> None:
    page = client.post(COMPOSE, typed(account)).content.decode()
    assert "Dear Ann,\n\n- one" in page and "&lt;strong&gt;Ann" in page and "<strong>Ann" not in page


@pytest.mark.django_db
@pytest.mark.pages
def test_a_text_is_turned_into_the_other_format(operator: Client, account: Account) -> None:
    def turned(to: str, given: str, text: str) -> str:
        return str(operator.post(CONVERT, {"to": to, "text_format": given, "body_text": text}).json()["text"])

    assert turned("html", "", "a\r\n\r\n> <b>") == "<p>a</p><blockquote><p>&lt;b&gt;</p></blockquote>"
    assert turned("html", "markdown", "**a**") == '<p dir="auto"><strong>a</strong></p>\n'
    assert turned("", "html", HTML + "<script>x</script>") == TEXT.replace("[Plan]", "Plan")
    assert operator.get(CONVERT).status_code == 405


@pytest.mark.django_db
@pytest.mark.pages
def test_who_may_write_no_mail_turns_none(client: Client, account: Account, make_user: Callable[..., User]) -> None:
    assert client.post(CONVERT).status_code == 302
    client.force_login(user := make_user("viewer"))
    assert client.post(CONVERT, {"to": "", "text_format": "html", "body_text": "a"}).status_code == 403
    AccountGrant.objects.create(user=user, account=account, role="operator")
    assert client.post(CONVERT, {"to": "", "text_format": "html", "body_text": "a"}).json() == {"text": "a\n"}


@pytest.mark.django_db
@pytest.mark.pages
def test_without_a_script_a_saved_reply_stands_above_and_the_preview_shows_what_is_sent(
    operator: Client, account: Account
) -> None:
    reply = SavedReply.objects.create(name="Thanks", text="Thanks & <regards>")
    operator.post(COMPOSE, typed(account, do="insert", saved_reply=reply.pk))
    draft = Draft.objects.get()
    assert draft.body_text == f"<p>Thanks &amp; &lt;regards&gt;</p>{HTML}"
    Draft.objects.update(body_text='<p onclick="x">a<img src="https://t.example/" alt="dot"></p>')
    page = operator.get(f"{COMPOSE}?draft={draft.pk}&key={draft.key}&preview=1").content.decode()
    assert '<p dir="auto">adot</p>' in page.split('id="preview"')[1].split("</section>")[0]
    asked = {"to": "ann@example.com", "subject": "S", "account": str(account.pk)}
    said = operator.get(f"/outbox/replies/{reply.pk}/text/", asked).json()
    assert said == {"text": "Thanks & <regards>", "html": "<p>Thanks &amp; &lt;regards&gt;</p>"}
