"""Corrects the addresses of a mail that its server refused for good.

A new row sends the same mail to the recipients that lack it, under the corrected addresses, and the refused row is
cancelled. Both commit in one transaction, so that it is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.utils.translation import gettext

from mailbox.mime.addresses import same
from mailbox.models import Feature
from mailbox.storage import raw_store
from mailbox.storage.raw_store import StoredRaw
from outbox.actions.transitions import CHANGED_MEANWHILE, ShownState, find_row, record
from outbox.compose import suppression
from outbox.compose.addresses import checked_spec
from outbox.compose.build import FrozenMessage, Threading
from outbox.compose.create import check_smtputf8, checked_account
from outbox.compose.new_row import NewRow, StoredFile, write_down
from outbox.compose.readdressed import readdressed
from outbox.compose.send_time import SendTimes
from outbox.compose.storage_failures import storage_failures
from outbox.errors import ChangedMeanwhile, ValidationFailed, not_stored
from outbox.models import OutboxMessage, OutboxRecipient
from outbox.models.messages import OutboxQuerySet

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold


@dataclass(frozen=True)
class _Corrections:
    """envelope: (kind, addr-spec) of the new mail's recipients. changed: former -> new addr-spec, "" if left out."""

    envelope: tuple[tuple[str, str], ...]
    changed: Mapping[str, str]


def correctable(rows: OutboxQuerySet) -> OutboxQuerySet:
    """The rows that were refused for good. Not those with a private part: their link was made for one address."""
    return rows.filter(status=Status.FAILED, hold=Hold.PERMANENT, private_part="")


def lacking(row: OutboxMessage) -> list[OutboxRecipient]:
    """The recipients of a row for whom the server has not accepted the mail."""
    return [each for each in row.recipients.all() if each.status != OutboxRecipient.Status.ACCEPTED]


def correct(
    outbox_id: int, typed: Mapping[int, str], *, user: User | None, now: datetime, seen: ShownState
) -> int | None:
    """Queue the corrected mail and return its pk, or None if no address was changed. Raises OutboxError.

    typed: recipient pk -> address, "" to leave that recipient out; a recipient that is not in it keeps its address.
    """
    row = find_row(outbox_id)
    seen.check(row)
    refused = correctable(OutboxMessage.objects.filter(pk=row.pk, last_attempt=row.last_attempt))
    if not refused.exists():
        raise ChangedMeanwhile(CHANGED_MEANWHILE)
    corrections = _checked(row, typed)
    if not corrections.changed:
        return None
    account = checked_account(row.account_id, Feature.EMAIL_REPLY if row.parent_id else Feature.EMAIL_SEND)
    suppression.check(account, [spec for _kind, spec in corrections.envelope], may_be_overridden=False)
    try:
        with storage_failures():
            new = _mail(row, corrections, user, now)
            if new.frozen.needs_smtputf8:
                check_smtputf8(account, now)
            return write_down(account, new, now, partial(_instead, row, refused, user, now))
    except DatabaseError as error:
        raise not_stored(error) from error


def _instead(
    row: OutboxMessage, refused: OutboxQuerySet, user: User | None, now: datetime, insert: Callable[[], int]
) -> int:
    """Cancel the refused row and insert the new one, in one transaction; returns the new pk.

    The refused row comes first: of two concurrent corrections the second finds it cancelled and raises
    ChangedMeanwhile.
    """
    with transaction.atomic():
        if refused.update(status=Status.CANCELLED, hold="", updated_at=now) != 1:
            raise ChangedMeanwhile(CHANGED_MEANWHILE)
        pk = insert()
        record(row, "correct_address", user, now, f"outbox:{pk}")
        return pk


def _checked(row: OutboxMessage, typed: Mapping[int, str]) -> _Corrections:
    """The corrections. Raises ValidationFailed for an invalid address, for one that is a recipient of the mail already,
    and if no recipient is left."""
    taken = row.recipients.filter(status=OutboxRecipient.Status.ACCEPTED).values_list("address", flat=True)
    known, envelope, changed = {same(each) for each in taken}, list[tuple[str, str]](), dict[str, str]()
    for each in lacking(row):
        text = typed.get(each.pk, each.address).strip()
        spec = checked_spec(gettext("The address"), text) if text else ""
        if spec != each.address:
            changed[each.address] = spec
        if spec and same(spec) in known:
            raise ValidationFailed(gettext("%(address)s is a recipient of this mail already.") % {"address": spec})
        known.add(same(spec))
        envelope += [(each.kind, spec)] if spec else []
    if not envelope:
        raise ValidationFailed(gettext("No address is left: cancel the mail instead."))
    return _Corrections(tuple(envelope), changed)


def _dsn_parameters(row: OutboxMessage, changed: Mapping[str, str]) -> dict[str, str]:
    """What a program submitted for each recipient (RFC 3461), without the original address of one that is corrected."""
    found = {}
    for each in lacking(row):
        words = each.dsn_parameters.split()
        if each.address in changed:
            words = [word for word in words if not word.startswith("ORCPT=")]
        found[changed.get(each.address, each.address)] = " ".join(words)
    return found


def _mail(row: OutboxMessage, corrections: _Corrections, user: User | None, now: datetime) -> NewRow:
    """Store the corrected mail and return the values of its row. Raises StorageError, RawMissing, ValidationFailed."""
    mail = readdressed(raw_store.open_raw(row.mime_digest), row.to, row.cc, corrections.changed, now)
    hidden = [spec for kind, spec in corrections.envelope if kind == OutboxRecipient.Kind.BCC]
    has_wide_address = not all(spec.isascii() for _kind, spec in corrections.envelope)
    frozen = FrozenMessage(
        mime=mail.mime,
        mail_from=row.mail_from,
        recipients=corrections.envelope,
        to=mail.to,
        cc=mail.cc,
        bcc=", ".join(hidden),
        subject=row.subject,
        body_text=row.body_text,
        body_html=row.body_html,
        threading=Threading(row.in_reply_to, row.references_header),
        needs_smtputf8=has_wide_address or (row.needs_smtputf8 and not mail.is_ascii),
        header_from=row.header_from,
        dsn_parameters=row.dsn_parameters,
        dsn_parameters_of=_dsn_parameters(row, corrections.changed),
    )
    unindexed: list[StoredRaw] = []
    digest = raw_store.save_batch([mail.mime], now=now, prove=True, unindexed=unindexed)[0]
    files = [
        StoredFile(each.filename, each.content_type, each.size, each.digest)
        for each in row.attachment_rows.order_by("position")
    ]
    times = SendTimes(now, None, None)
    return NewRow(frozen, digest, times, files, row.parent, user, unindexed=unindexed)
