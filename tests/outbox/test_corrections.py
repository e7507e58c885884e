"""Mails refused for their addresses are corrected together: each once, and to nobody who has the mail already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.storage import raw_store
from outbox import api
from outbox.actions import correcting
from outbox.actions.transitions import ShownState
from outbox.compose.addresses import parse
from outbox.compose.attachments import AttachmentInput
from outbox.compose.create import attachment_bytes
from outbox.compose.readdressed import readdressed
from outbox.errors import ChangedMeanwhile
from outbox.models import OutboxMessage, OutboxRecipient, SuppressedAddress
from tests.rows import NOWHERE, attempt, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
PAGE = "/outbox/correct/"
UNKNOWN = "550 5.1.1 user unknown"


def refused(account: Account, to: str, *, cc: str = "", bcc: str = "", accepted: tuple[str, ...] = ()) -> OutboxMessage:
    """A mail as it was written here, whose server took it for `accepted` only."""
    file = AttachmentInput("a.txt", "text/plain", content=b"words")
    made = api.queue(account.pk, to, "Invoice", "Dear Ann", cc=cc, bcc=bcc, attachments=[file])
    assert made.data
    row = OutboxMessage.objects.get(pk=made.data.outbox_id)
    attempt(row, outcome="permanent", finished_at=timezone.now())
    row.recipients.update(status="refused", reply_code=550, reply=UNKNOWN)
    row.recipients.filter(address__in=accepted).update(status="accepted", reply_code=250)
    OutboxMessage.objects.filter(pk=row.pk).update(status="failed", hold="permanent", error=UNKNOWN, retries=1)
    return OutboxMessage.objects.get(pk=row.pk)


def typed(row: OutboxMessage, **instead: str) -> dict[str, str | list[str]]:
    """The page's form, with other addresses by what stands before the @ of the refused ones."""
    form: dict[str, str | list[str]] = {"row": [f"{row.pk}.{row.last_attempt}"]}
    for each in row.recipients.exclude(status="accepted"):
        form[f"to-{each.pk}"] = instead.get(each.address.partition("@")[0], each.address)
    return form


def recipient_named(row: OutboxMessage, address: str) -> OutboxRecipient:
    return row.recipients.get(address=address)


def copy_of(row: OutboxMessage) -> OutboxMessage:
    return OutboxMessage.objects.exclude(pk=row.pk).get()


def header_of(row: OutboxMessage) -> str:
    return raw_store.open_raw(row.mime_digest).partition(b"\r\n\r\n")[0].decode()


def test_the_cause_leads_to_its_addresses_and_one_domain_fills_them_all(
    operator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    rows = [refused(account, f"Ann <{name}@exmaple.org>") for name in ("ann", "bob")]
    group = operator.get("/outbox/", {"state": "failed_for_good"}).context["groups"][0]
    link = f"{PAGE}?{group.query}"
    assert f'href="{link.replace("&", "&amp;")}"' in operator.get("/outbox/?state=failed_for_good").content.decode()
    page = operator.get(link).content.decode()
    assert 'value="ann@exmaple.org"' in page and 'value="bob@exmaple.org"' in page
    filled = operator.get(f"{link}&new_domain=example.org").context["mails"]
    fields = {each.name: each.value for mail in filled for each in mail.fields}
    assert set(fields.values()) == {"ann@example.org", "bob@example.org"}
    form = fields | {"row": [f"{row.pk}.{row.last_attempt}" for row in rows]}
    with django_capture_on_commit_callbacks(execute=True):
        said = operator.post(link, form, follow=True).content.decode()
    assert OrmQ.objects.count() == 1
    assert "2 mails are queued to their corrected addresses; the refused ones are cancelled." in said
    assert set(OutboxMessage.objects.filter(pk__in=[row.pk for row in rows]).values_list("status", flat=True)) == {
        "cancelled"
    }
    queued = OutboxMessage.objects.filter(status="pending")
    assert set(queued.values_list("recipients__address", flat=True)) == {"ann@example.org", "bob@example.org"}
    assert {row.to for row in queued} == {"Ann <ann@example.org>", "Ann <bob@example.org>"}
    click = AuditEntry.objects.get(verb="ticked_correct_address")
    assert click.detail == "2 of 2"
    assert set(AuditEntry.objects.filter(part_of=click).values_list("verb", flat=True)) == {"correct_address"}


def test_the_same_mail_goes_out_and_nobody_gets_it_twice(operator: Client, account: Account) -> None:
    row = refused(
        account,
        "Ann <ann@exmaple.org>, Bob <bob@example.org>",
        cc="cy@exmaple.org",
        bcc="dan@exmaple.org",
        accepted=("bob@example.org",),
    )
    operator.post(PAGE, typed(row, ann="ann@example.org", cy="cy@example.org", dan="dan@example.org"))
    copy = copy_of(row)
    envelope = set(copy.recipients.values_list("kind", "address", "status"))
    assert envelope == {
        ("to", "ann@example.org", "waiting"),
        ("cc", "cy@example.org", "waiting"),
        ("bcc", "dan@example.org", "waiting"),
    }
    header = header_of(copy)
    assert header.startswith("Date: ") and "\r\nSubject: Invoice\r\n" in header
    assert "To: Ann <ann@example.org>,\r\n Bob <bob@example.org>\r\nCc: cy@example.org\r\n" in header
    assert "dan@" not in header and "exmaple" not in header
    assert (copy.to, copy.cc, copy.bcc) == (
        "Ann <ann@example.org>, Bob <bob@example.org>",
        "cy@example.org",
        "dan@example.org",
    )
    assert attachment_bytes(copy.attachment_rows.get()) == b"words"
    former, new = (raw_store.open_raw(each.mime_digest).partition(b"\r\n\r\n")[2] for each in (row, copy))
    assert former == new
    row.refresh_from_db()
    assert (row.status, row.hold) == ("cancelled", "")


def test_what_is_left_as_it_was_is_tried_again_with_the_corrected_and_what_is_emptied_is_left_out(
    operator: Client, account: Account
) -> None:
    row = refused(account, "ann@exmaple.org, bob@example.org, cy@example.org")
    operator.post(PAGE, typed(row, ann="ann@example.org", cy=" "))
    copy = copy_of(row)
    assert set(copy.recipients.values_list("address", flat=True)) == {"ann@example.org", "bob@example.org"}
    assert copy.to == "ann@example.org, bob@example.org"


def test_a_mail_whose_addresses_stay_is_left_alone(operator: Client, account: Account) -> None:
    row = refused(account, "ann@example.org")
    page = operator.post(PAGE, typed(row))
    assert "No address was changed, so nothing was sent." in page.content.decode()
    assert OutboxMessage.objects.get().hold == "permanent"
    assert not AuditEntry.objects.filter(verb="ticked_correct_address").exists()


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("no address", "The address"),
        ("", "No address is left: cancel the mail instead."),
        ("bob@example.org", "bob@example.org is a recipient of this mail already."),
        ("gone@example.org", "gone@example.org is not written to"),
        ("ann@example.org\r\nBcc: eve@example.org", "The address"),
    ],
)
def test_what_cannot_be_stays_typed_and_says_why(operator: Client, account: Account, instead: str, said: str) -> None:
    SuppressedAddress.objects.create(account=account, address="gone@example.org", reason="bounced")
    row = refused(account, "ann@exmaple.org, bob@example.org", accepted=("bob@example.org",))
    page = operator.post(PAGE, typed(row, ann=instead))
    (mail,) = page.context["mails"]
    assert said in mail.refusal and mail.fields[0].value == instead
    assert OutboxMessage.objects.get().hold == "permanent"


def test_some_are_sent_and_the_others_stay_on_the_page(operator: Client, account: Account) -> None:
    good, bad = refused(account, "ann@exmaple.org"), refused(account, "bob@exmaple.org")
    form = typed(good, ann="ann@example.org") | typed(bad, bob="bob@") | {"row": [f"{good.pk}.1", f"{bad.pk}.1"]}
    page = operator.post(PAGE, form)
    assert "1 mail is queued to its corrected address" in page.content.decode()
    assert [mail.row.pk for mail in page.context["mails"]] == [bad.pk]


def test_of_two_who_correct_one_mail_one_sends_it(operator: Client, account: Account) -> None:
    row = refused(account, "ann@exmaple.org")
    form = typed(row, ann="ann@example.org")
    operator.post(PAGE, form)
    again = operator.post(PAGE, form).content.decode()
    assert "It has changed since this page was shown." in again
    assert copy_of(row).to == "ann@example.org"


def test_a_page_of_an_earlier_attempt_corrects_nothing(operator: Client, account: Account) -> None:
    row = refused(account, "ann@exmaple.org")
    form = typed(row, ann="ann@example.org")
    attempt(row, outcome="permanent", finished_at=timezone.now())
    page = operator.post(PAGE, form).content.decode()
    assert "It has changed since this page was shown." in page
    assert OutboxMessage.objects.get().hold == "permanent"


@pytest.mark.parametrize(
    "changes",
    [{"hold": "uncertain"}, {"hold": "sign_in"}, {"hold": ""}, {"status": "sent", "hold": ""}, {"private_part": "x:1"}],
)
def test_only_what_was_refused_for_good_is_corrected(account: Account, changes: dict[str, str]) -> None:
    row = refused(account, "ann@exmaple.org")
    OutboxMessage.objects.filter(pk=row.pk).update(**changes)
    given = {recipient_named(row, "ann@exmaple.org").pk: "ann@example.org"}
    with pytest.raises(ChangedMeanwhile):
        correcting.correct(row.pk, given, user=None, now=timezone.now(), seen=ShownState(1))
    assert OutboxMessage.objects.count() == 1


def test_one_corrects_the_mail_of_accounts_one_operates(
    client: Client, make_user: Callable[..., User], make_account: Callable[..., Account], account: Account
) -> None:
    row, user = refused(account, "ann@exmaple.org"), make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    assert client.get(PAGE).status_code == 403
    other = make_account("other@example.com", **NOWHERE)
    AccountGrant.objects.create(user=user, account=other, role="operator")
    assert client.get(PAGE).context["mails"] == []
    client.post(PAGE, typed(row, ann="ann@example.org"))
    assert OutboxMessage.objects.get().hold == "permanent"


def test_an_accounts_rules_hold_for_the_copy_too(operator: Client, account: Account) -> None:
    row = refused(account, "ann@exmaple.org")
    Account.objects.filter(pk=account.pk).update(send_enabled=False)
    (mail,) = operator.post(PAGE, typed(row, ann="ann@example.org")).context["mails"]
    assert "Sending is switched off" in mail.refusal


def test_the_page_costs_the_same_for_any_number(operator: Client, account: Account) -> None:
    refused(account, "ann@exmaple.org")
    before, after = queries_of(operator, PAGE, lambda: [refused(account, "bob@exmaple.org") for _ in range(3)])
    assert before == after


def test_a_submitted_mails_own_message_id_and_signature_are_not_the_copys() -> None:
    mime = (
        b"Received: x\r\nDKIM-Signature: v=1;\r\n a=b\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <a@b>\r\n"
        b"TO: Ann\r\n <ann@exmaple.org>\r\nX-Note: To: ann@exmaple.org\r\n\r\nTo: ann@exmaple.org\r\n"
    )
    made = readdressed(mime, "Ann <ann@exmaple.org>", "", {"ann@exmaple.org": "ann@example.org"}, timezone.now())
    header, _, body = made.mime.partition(b"\r\n\r\n")
    assert [line.partition(b":")[0] for line in header.split(b"\r\n")] == [b"Date", b"Received", b"To", b"X-Note"]
    assert b"To: Ann <ann@example.org>\r\n" in made.mime and body == b"To: ann@exmaple.org\r\n"
    assert parse("To", made.to)[0].spec == "ann@example.org"


def test_what_a_program_asked_of_reports_is_asked_again(account: Account) -> None:
    row = refused(account, "anm@exmaple.org, bob@exmaple.org")
    OutboxMessage.objects.filter(pk=row.pk).update(dsn_parameters="RET=FULL ENVID=a7")
    for each in row.recipients.all():
        row.recipients.filter(pk=each.pk).update(dsn_parameters=f"NOTIFY=NEVER ORCPT=rfc822;{each.address}")
    typed = {recipient_named(row, "anm@exmaple.org").pk: "ann@example.org"}
    correcting.correct(row.pk, typed, user=None, now=timezone.now(), seen=ShownState(row.last_attempt))
    copy = copy_of(row)
    assert copy.dsn_parameters == "RET=FULL ENVID=a7"
    assert dict(copy.recipients.values_list("address", "dsn_parameters")) == {
        "ann@example.org": "NOTIFY=NEVER",
        "bob@exmaple.org": "NOTIFY=NEVER ORCPT=rfc822;bob@exmaple.org",
    }
