"""A stored file that this host lacks: 503 and words, an incident, and whatever needs it waits."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import Kind
from alerts.problems.find import find_problems
from mailbox.messages import reparse
from mailbox.models import (
    Account,
    Attachment,
    Message,
    Preview,
    RawMessage,
    RemoteImage,
    Reparse,
    StoreMiss,
    WorkerHeartbeat,
)
from mailbox.pictures import previews, remote_images
from mailbox.storage.durable_files import raw_storage
from mailbox.sync import folder_sync
from mailbox.views.reading import invitations
from outbox.compose import date_header
from outbox.errors import StorageFailed
from tests.mailbox.sync.synced import mail
from tests.rows import NOWHERE, letter_with, outbox_row, store
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def message(make_account: Callable[..., Account]) -> Message:
    return store(make_account("ops@example.com", **NOWHERE), letter_with(b"%PDF-1.4", "report.pdf"))


@pytest.fixture
def away(message: Message) -> Callable[[], None]:
    """Takes the raw store's files away, as on a host whose data folder is another, or is not mounted."""

    def take() -> None:
        for each in RawMessage.objects.values_list("segment", flat=True).distinct():
            Path(raw_storage().path(each)).unlink()

    return take


def addresses(message: Message) -> list[str]:
    pk = message.pk
    sent = outbox_row(message.account, raw=letter_with(b"%PDF-1.4", "sent.pdf"), status="sent")
    return [
        reverse("mailbox:message_eml", args=[pk]),
        reverse("mailbox:message_attachment", args=[pk, 0]),
        f"{reverse('mailbox:message', args=[pk])}?view=source",
        reverse("outbox:eml", args=[sent.pk]),
    ]


def test_what_needs_the_file_answers_503_in_words_and_the_rest_of_the_page_goes_on(
    viewer: Client, message: Message, away: Callable[[], None]
) -> None:
    asked = addresses(message)
    away()
    for address in asked:
        response = viewer.get(address)
        assert response.status_code == 503, address
        assert "out of reach on this host" in response.content.decode()
        assert response.headers["Retry-After"] == "30"
    assert viewer.get(f"{reverse('mailbox:message', args=[message.pk])}?view=text").status_code == 200


def test_it_is_an_incident_for_a_quarter_of_an_hour_and_then_begins_anew(
    viewer: Client, message: Message, away: Callable[[], None]
) -> None:
    away()
    viewer.get(reverse("mailbox:message_eml", args=[message.pk]))
    miss, now = StoreMiss.objects.get(), timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=now)
    assert miss.host == socket.gethostname()
    said = {each.sentence for each in find_problems(now).found if each.kind == Kind.STORE}
    assert said == {
        f"Stored mail is out of reach on {miss.host} since {miss.first_at:%Y-%m-%d %H:%M} UTC: {miss.file}."
    }
    later = now + timedelta(minutes=16)
    WorkerHeartbeat.objects.update(seen_at=later)
    assert not [each for each in find_problems(later).found if each.kind == Kind.STORE]
    StoreMiss.note(miss.host, miss.file, later)
    assert StoreMiss.objects.get().first_at == later


def test_a_preview_of_it_waits_and_is_not_given_up(message: Message, away: Callable[[], None]) -> None:
    away()
    file = Attachment.objects.get(message=message)
    row = Preview.objects.create(
        digest=file.digest,
        source=message.raw_digest,
        position=0,
        content_type="application/pdf",
        asked_at=timezone.now(),
    )
    previews.make(row.pk)
    row.refresh_from_db()
    assert (row.state, row.claimed_at) == (Preview.State.WAITING, None)


def missed() -> bool:
    """Whether an incident was noted; it begins anew afterwards."""
    return StoreMiss.objects.all().delete()[0] > 0


def test_what_goes_on_without_the_file_notes_that_it_is_missing(message: Message, away: Callable[[], None]) -> None:
    sent = outbox_row(message.account, raw=letter_with(b"%PDF-1.4", "sent.pdf"))
    image = RemoteImage.objects.create(message=message, address="https://a.example/1.png", address_digest="0" * 64)
    RemoteImage.objects.filter(pk=image.pk).update(raw_digest=message.raw_digest)
    calendar = Attachment(position=0, content_type="text/calendar", size=9, digest="0" * 64)
    away()
    assert remote_images.fetched(message) == {} and missed()
    assert invitations.events_of(message, [calendar]) == [] and missed()
    with pytest.raises(StorageFailed, match="out of reach on this host"):
        date_header.redated(sent, timezone.now())
    assert missed()


def test_a_mail_that_comes_again_where_its_file_is_out_of_reach_is_no_second_mail(
    make_account: Callable[..., Account], certificates: Certificates
) -> None:
    mails = {1: Mail(mail(1))}
    server = ScriptedImap(certificates, mails).start()
    ca = server.certificates.ca_pem
    account = make_account(
        imap_host="localhost", imap_port=server.port, ca_certificate=ca, smtp_host="localhost", smtp_port=1
    )
    try:
        folder_sync.sync(account.pk, "INBOX")
        Path(raw_storage().path(RawMessage.objects.get().segment)).unlink()
        # The same mail with another trace header, so with another digest; and one that bears its Message-ID only.
        mails |= {2: Mail(b"Received: by mx\r\n" + mail(1)), 3: Mail(mail(1, body="forged"))}
        folder_sync.sync(account.pk, "INBOX")
    finally:
        server.stop()
    assert [row.places.count() for row in Message.objects.order_by("pk")] == [2, 1]
    assert missed()


def test_reading_again_waits_for_a_host_that_has_the_file_and_not_for_ever(
    message: Message, away: Callable[[], None]
) -> None:
    away()
    now = timezone.now()
    round_, _ = reparse.begin(None, everything=True)
    WorkerHeartbeat.objects.create(host="another", cluster_pid=1, started_at=now, seen_at=now)
    assert list(reparse.go_on(round_)) == [] and missed()
    round_.refresh_from_db()
    assert (round_.done, round_.lost, round_.finished_at) == (0, 0, None)
    Reparse.objects.update(moved_at=now - timedelta(minutes=11))
    round_.refresh_from_db()
    assert [each.lost for each in reparse.go_on(round_)] == [1, 1]  # no host had it


def test_reading_again_on_the_only_host_goes_past_what_is_missing(message: Message, away: Callable[[], None]) -> None:
    away()
    assert [each.lost for each in reparse.go_on(reparse.begin(None, everything=True)[0])] == [1, 1]


@pytest.mark.parametrize(
    ("field", "kind", "words"),
    [
        ("store_failed_since", Kind.STORE, "cannot write and read stored mail"),
        ("broker_away_since", Kind.BROKER, "does not reach the broker"),
    ],
)
def test_a_host_that_cannot_reach_what_it_needs_is_named(field: str, kind: Kind, words: str) -> None:
    now = timezone.now()
    fields: dict[str, Any] = {field: now}
    WorkerHeartbeat.objects.create(host="web2", cluster_pid=1, started_at=now, seen_at=now, **fields)
    (found,) = [each for each in find_problems(now).found if each.kind == kind]
    assert "web2" in found.sentence and words in found.sentence
