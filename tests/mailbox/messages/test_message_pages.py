"""Messages in the browser: the page of one, its parts at their own addresses, quarantine, and who may see what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant, Attachment, AuditEntry, MessagePlace, Quarantine
from mailbox.views.reading import message_parts
from tests.mailbox.html.images_by_size import png
from tests.mailbox.messages.message_pages import other_account, page
from tests.rows import folder_of, letter, letter_with, queries_of, store, tasks_queued

__all__ = ["other_account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def granted(client: Client, make_user: Callable[..., User], account: Account, role: str) -> Client:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role=role)
    client.force_login(user)
    return client


def test_each_way_to_read_a_message_has_its_address(viewer: Client, account: Account) -> None:
    message = store(account, letter("Report", "the text", "<p>the html</p>"))
    assert reverse("mailbox:message_html", args=[message.pk]) in page(viewer, "mailbox:message", message.pk)
    assert "the text" in page(viewer, "mailbox:message", message.pk, query="?view=text")
    assert "Message-ID" in page(viewer, "mailbox:message", message.pk, query="?view=headers")
    assert "multipart/alternative" in page(viewer, "mailbox:message", message.pk, query="?view=source")


def test_mail_text_is_never_markup_of_our_page(viewer: Client, account: Account) -> None:
    trick = "<script>alert(1)</script>"
    message = store(account, letter(trick, trick, From=f'"{trick}" <ann@example.com>', X_Trick=trick))
    for view in ("html", "text", "headers", "source"):
        assert trick not in page(viewer, "mailbox:message", message.pk, query=f"?view={view}")
    assert trick not in page(viewer, "mailbox:messages")


def test_an_image_that_is_left_out_for_its_size_is_not_said_to_be_shown(viewer: Client, account: Account) -> None:
    mail = EmailMessage()
    mail["From"], mail["Message-ID"], mail["Subject"] = "ann@example.com", "<large@example.com>", "Large"
    mail.set_content('<p><img src="cid:large"></p>', subtype="html")
    image = {"maintype": "image", "subtype": "png", "cid": "<large>", "filename": "large.png", "disposition": "inline"}
    mail.add_related(png(20_000, 20_000), **image)
    message = store(account, mail.as_bytes())
    assert Attachment.objects.get().is_inline
    assert "Some images of this message are not shown here" in page(viewer, "mailbox:message_html", message.pk)
    shown = page(viewer, "mailbox:message", message.pk)
    assert "large.png" in shown and "belongs to the text" in shown and "shown in the text" not in shown


def test_the_frame_is_sandboxed_and_may_only_stand_in_our_own_pages(viewer: Client, account: Account) -> None:
    message = store(account, letter(html="<p onclick='x()'>hi</p><script>bad()</script>"))
    response = viewer.get(reverse("mailbox:message_html", args=[message.pk]))
    policy = response["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert b"hi</p>" in response.content
    assert b"bad()" not in response.content
    assert b"onclick" not in response.content


def test_the_frame_that_is_measured_runs_nothing_opens_nothing_and_is_no_page_of_its_own(
    viewer: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = store(account, letter(html="<p onclick='x()'>hi</p><script>bad()</script>"))
    url = reverse("mailbox:message_html_measured", args=[message.pk])
    response = viewer.get(url, headers={"Sec-Fetch-Dest": "iframe"})
    policy = response["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-same-origin; default-src 'none'; ")
    assert not any(word in policy for word in ("allow-scripts", "allow-popups", "allow-top", "allow-forms"))
    assert b"hi</p>" in response.content
    assert b"bad()" not in response.content
    assert viewer.get(url, headers={"Sec-Fetch-Dest": "document"}).status_code == 404
    assert url in page(viewer, "mailbox:message", message.pk)
    monkeypatch.setattr(message_parts, "MEASURED_UP_TO", 10)
    assert url not in page(viewer, "mailbox:message", message.pk)
    assert viewer.get(url).status_code == 404


def test_remote_images_are_counted_and_not_offered(viewer: Client, account: Account) -> None:
    html = '<p>x</p><img src="https://tracker.example/a.gif"><img src="http://tracker.example/b.gif">'
    message = store(account, letter(html=html))
    assert "2 remote images are blocked" in page(viewer, "mailbox:message", message.pk)
    frame = viewer.get(reverse("mailbox:message_html", args=[message.pk])).content
    assert b"tracker.example" not in frame


def test_the_source_is_cut_and_the_download_is_not(viewer: Client, account: Account) -> None:
    raw = letter("long", "word " * 60_000)
    message = store(account, raw)
    shown = page(viewer, "mailbox:message", message.pk, query="?view=source")
    assert len(shown) < 230_000
    assert "The first 200 kB" in shown
    response = viewer.get(reverse("mailbox:message_eml", args=[message.pk]))
    assert response.content == raw
    assert response["Content-Disposition"].startswith("attachment")
    assert response["Content-Security-Policy"].startswith("sandbox")
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ("application/pdf", "application/pdf"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/javascript", "application/octet-stream"),
    ],
)
def test_an_attachment_is_downloaded_byte_for_byte_and_never_shown(
    viewer: Client, account: Account, given: str, served: str
) -> None:
    content = bytes(range(256)) * 40
    message = store(account, letter_with(content, "契約書 “2026”.pdf", given))
    row = message.attachment_rows.get()
    response = viewer.get(reverse("mailbox:message_attachment", args=[message.pk, row.position]))
    assert response.content == content
    assert hashlib.sha256(response.content).hexdigest() == row.digest
    assert response["Content-Type"] == served
    assert response["Content-Disposition"].startswith("attachment; filename*=utf-8''%E5%A5%91")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"].startswith("sandbox")


def test_a_removed_attachment_is_listed_nowhere_and_not_downloaded(operator: Client, account: Account) -> None:
    message = store(account, letter_with(b"%PDF", "secret.pdf"))
    address = reverse("mailbox:message_attachment_remove", args=[message.pk, 0])
    assert "can no longer be downloaded" in operator.get(address).content.decode()
    assert Attachment.objects.get().removed_at is None
    assert "another file stands there" in operator.post(address, {"digest": "0" * 64}, follow=True).content.decode()
    assert Attachment.objects.get().removed_at is None
    operator.post(address, {"digest": Attachment.objects.get().digest})
    operator.get(reverse("mailbox:messages"))  # where the notice is read, which names the file
    assert "secret.pdf" not in page(operator, "mailbox:message", message.pk)
    assert "secret.pdf" not in page(operator, "outbox:attachments")
    assert operator.get(reverse("mailbox:message_attachment", args=[message.pk, 0])).status_code == 404
    assert AuditEntry.objects.get().verb == "remove_attachment"


def test_bytes_missing_from_the_raw_store_are_said_so(viewer: Client, account: Account) -> None:
    message = store(account, letter("lost", "still readable"), raw_digest="0" * 64)
    assert "cannot be read" in page(viewer, "mailbox:message", message.pk, query="?view=source")
    assert "still readable" in page(viewer, "mailbox:message", message.pk, query="?view=text")
    assert viewer.get(reverse("mailbox:message_eml", args=[message.pk])).status_code == 404


def test_fetch_now_asks_for_the_whole_of_a_message_that_was_too_large(operator: Client, account: Account) -> None:
    message = store(account, letter("huge"), is_complete=False)
    assert "Fetch now" in page(operator, "mailbox:message", message.pk)
    operator.post(reverse("mailbox:message_fetch", args=[message.pk]))
    assert message.places.get().fetch_requested_at is not None
    assert len(tasks_queued()) == 1
    assert AuditEntry.objects.get().target == f"message:{message.pk}"
    assert "comes with the next sync" in page(operator, "mailbox:message", message.pk)


def quarantined(account: Account, uid: int = 7) -> Quarantine:
    return Quarantine.objects.create(
        account=account,
        folder=folder_of(account),
        uidvalidity=1,
        uid=uid,
        error="UnicodeError: what it said",
        attempts=3,
    )


def test_quarantine_shows_the_error_as_said_and_fetches_again(operator: Client, account: Account) -> None:
    assert "Nothing is in quarantine" in page(operator, "mailbox:quarantine")
    row = quarantined(account)
    shown = page(operator, "mailbox:quarantine")
    assert "UnicodeError: what it said" in shown
    assert "Its header did not come, or could not be read" in shown
    Quarantine.objects.update(subject="Invoice <7>", sender="Ann <ann@example.com>")
    shown = page(operator, "mailbox:quarantine")
    assert "Invoice &lt;7&gt;</strong>" in shown
    assert "Ann &lt;ann@example.com&gt;" in shown
    operator.post(reverse("mailbox:quarantine_fetch", args=[row.pk]))
    row.refresh_from_db()
    assert row.fetch_requested_at is not None
    assert len(tasks_queued()) == 1


def test_quarantine_costs_the_same_queries_however_long_it_is(operator: Client, account: Account) -> None:
    quarantined(account)
    add = lambda: [quarantined(account, uid) for uid in range(100, 118)]  # noqa: E731
    before, after = queries_of(operator, reverse("mailbox:quarantine"), add)
    assert before == after <= 8


def addresses_of(account: Account) -> dict[str, list[str]]:
    message = store(account, letter_with(b"%PDF", "a.pdf"), is_complete=False)
    row = quarantined(account)
    return {
        "get": [
            reverse("mailbox:message", args=[message.pk]),
            reverse("mailbox:message_html", args=[message.pk]),
            reverse("mailbox:message_eml", args=[message.pk]),
            reverse("mailbox:message_attachment", args=[message.pk, 0]),
            f"{reverse('mailbox:messages')}?account={account.pk}",
            f"{reverse('mailbox:messages')}?folder={folder_of(account).pk}",
        ],
        "post": [
            reverse("mailbox:message_fetch", args=[message.pk]),
            reverse("mailbox:message_attachment_remove", args=[message.pk, 0]),
            reverse("mailbox:quarantine_fetch", args=[row.pk]),
        ],
    }


def test_whoever_is_signed_out_is_sent_to_sign_in(client: Client, account: Account) -> None:
    for url in sum(addresses_of(account).values(), [reverse("mailbox:messages"), reverse("mailbox:quarantine")]):
        for answer in (client.get(url), client.post(url)):
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("login"))


def test_an_account_the_user_may_not_see_does_not_exist_for_them(
    client: Client, make_user: Callable[..., User], account: Account, other_account: Account
) -> None:
    addresses = addresses_of(other_account)
    store(other_account, letter("not for you"))
    granted(client, make_user, account, "administrator")
    assert all(client.get(url).status_code == 404 for url in addresses["get"])
    assert all(client.post(url).status_code == 404 for url in addresses["post"])
    assert "not for you" not in page(client, "mailbox:messages")
    assert "what it said" not in page(client, "mailbox:quarantine")
    assert Attachment.objects.filter(removed_at=None).count() == 1


def test_a_viewer_reads_and_changes_nothing(viewer: Client, account: Account) -> None:
    addresses = addresses_of(account)
    assert all(viewer.get(url).status_code == 200 for url in addresses["get"])
    assert all(viewer.post(url).status_code == 403 for url in addresses["post"])
    shown = page(viewer, "mailbox:message", MessagePlace.objects.get().message_id)
    assert not any(words in shown for words in (">Fetch now<", "Remove<", "Reply</a>"))
    assert ">Fetch again<" not in page(viewer, "mailbox:quarantine")
    assert tasks_queued() == []


def test_what_changes_something_is_never_done_by_a_link(operator: Client, account: Account) -> None:
    fetch, _remove, again = addresses_of(account)["post"]
    assert operator.get(fetch).status_code == 405
    assert operator.get(again).status_code == 405
    assert operator.post(reverse("mailbox:messages")).status_code == 405
