"""What an ellipsis cuts keeps its beginning, also an address on a page that is written from right to left."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page

from mailbox.models import Account, Message, UserPreference
from outbox.models import OutboxAttachment
from tests.rows import letter, letter_with, outbox_row, store

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LONG = "a-very-long-name-of-a-desk-that-nobody-would-choose-twice.but-somebody-did-in-an-office"
SENDER = f"{LONG}@example-of-a-long-domain.example.org"

# The elements that cut their text with an ellipsis, and whether the first letter of it is within their box.
CUT = """() => [...document.querySelectorAll("main *")].flatMap((box) => {
  if (getComputedStyle(box).textOverflow !== "ellipsis" || box.matches("input")) return [];
  if (box.scrollWidth <= box.clientWidth + 1) return [];
  const words = document.createTreeWalker(box, NodeFilter.SHOW_TEXT, (node) => (
    /[A-Za-z0-9]/.test(node.data) && !node.parentElement.closest(".visually-hidden") ? 1 : 3));
  const node = words.nextNode();
  if (!node) return [];
  const first = document.createRange();
  const at = node.data.search(/[A-Za-z0-9]/);
  first.setStart(node, at);
  first.setEnd(node, at + 1);
  const [letter, seen] = [first.getBoundingClientRect(), box.getBoundingClientRect()];
  const isKept = letter.left >= seen.left - 1 && letter.right <= seen.right + 1;
  return [{ text: `${box.tagName} ${box.className}: ${node.data.trim().slice(0, 40)}`, isKept }];
})"""


def _long_rows(account: Account) -> list[str]:
    """Rows with long texts in every list; returns the addresses of the pages."""
    message = store(account, letter_with(b"%PDF-1.4", f"{LONG}.pdf"))
    Message.objects.update(sender=SENDER, sender_address=SENDER, subject=f"{LONG} {LONG}")
    store(account, letter(f"Re: {LONG} {LONG}", In_Reply_To=message.message_id, From=SENDER))
    store(account, letter(f"Re: {LONG} {LONG}", In_Reply_To=message.message_id), folder=LONG)
    refused = outbox_row(
        account, LONG * 2, to=SENDER, status="failed", hold="permanent", error=f"550 5.1.1 {SENDER} {LONG}"
    )
    OutboxAttachment.objects.create(
        outbox=refused,
        position=0,
        filename=f"{LONG}.pdf",
        content_type="application/pdf",
        size=3,
        account=account,
        created_at=refused.created_at,
    )
    here = [reverse(name) for name in ("dashboard", "charts", "mailbox:messages", "outbox:list")]
    here += [f"{reverse('outbox:list')}?state=failed_for_good", f"{reverse('outbox:correct')}?row={refused.pk}"]
    here += [f"{reverse('outbox:attachments')}{query}" for query in ("", "?direction=sent")]
    return [*here, reverse("mailbox:message", args=[message.pk])]


@pytest.mark.parametrize(("language", "width"), [("ar", 1440), ("ar", 390), ("en", 1440)])
def test_what_is_cut_keeps_its_beginning(
    signed_in_page: Page, live_site: str, account: Account, language: str, width: int
) -> None:
    Account.objects.update(email=SENDER)
    UserPreference.objects.create(user=User.objects.get(), language=language, time_zone="UTC")
    pages, cut = _long_rows(account), 0
    signed_in_page.set_viewport_size({"width": width, "height": 900})
    for address in pages:
        signed_in_page.goto(f"{live_site}{address}")
        found = signed_in_page.evaluate(CUT)
        assert [each for each in found if not each["isKept"]] == [], address
        cut += len(found)
    assert cut > 5  # else nothing was long enough to be cut
