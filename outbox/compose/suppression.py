"""The list of addresses that an account does not write to: who comes onto it, and the refusal.

What bounced for good or was complained about is put there by itself, but only on a report that proves to be about our
mail (is_proven), and only where that mail had one recipient: the proof is in the mail, so that each who got it could
forge a bounce of another.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext

from mailbox.models import Account
from outbox.compose.addresses import checked_spec
from outbox.errors import ValidationFailed
from outbox.models import DeliveryReport, SuppressedAddress

Reason = SuppressedAddress.Reason
# Enhanced status codes (RFC 3463) that are about the recipient's address. 5.1.7 and 5.1.8 are about the sender's; a
# full mailbox, a policy or the mail's content says nothing of the next mail, and 5.0.0 that nothing is known.
OF_THE_ADDRESS = ("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
MOST_BYTES, MOST_ROWS = 2_000_000, 10_000
FIRST_YEAR = 1970  # no report is older, and databases and time zones refuse the edge of the calendar
HEAD = ("account", "address", "reason", "since", "words")


class CannotImport(Exception):
    """str() is a sentence that names the line."""


class NotOperated(CannotImport):
    """The file names an account that does not exist, or that the importing user does not operate."""


@dataclass(frozen=True)
class Given:
    address: str
    reason: str
    since: datetime
    words: str = ""


def check(account: Account, addresses: Iterable[str], *, may_be_overridden: bool) -> None:
    """Raise ValidationFailed when one of the addresses is on the account's list. A mail that comes by SMTP or whole has
    no field in which to say that it is to be sent anyway."""
    asked = {each.lower() for each in addresses}
    row = SuppressedAddress.objects.filter(account=account, address__in=asked).order_by("address").first()
    if row is not None:
        words = (
            gettext(
                "%(address)s is not written to: %(reason)s on %(date)s. %(words)s Take it off the list, or say that "
                "this mail is to be sent anyway."
            )
            if may_be_overridden
            else gettext("%(address)s is not written to: %(reason)s on %(date)s. %(words)s Take it off the list first.")
        )
        raise ValidationFailed(
            words
            % {
                "address": row.address,
                "reason": row.get_reason_display(),
                "date": f"{row.since:%Y-%m-%d}",
                "words": row.words,
            }
        )


def overridden(account: Account, addresses: Iterable[str]) -> list[str]:
    """Those of the addresses that are on the account's list and written to all the same."""
    asked = {each.lower() for each in addresses}
    found = SuppressedAddress.objects.filter(account=account, address__in=asked)
    return sorted(found.values_list("address", flat=True))


def note(account_id: int, reports: Iterable[DeliveryReport]) -> None:
    """Put the addresses of reports on the list, in the transaction that stores the reports."""
    rows = []
    for each in reports:
        is_bounce = each.action == DeliveryReport.Action.FAILED and each.status_code in OF_THE_ADDRESS
        is_complaint = each.action == DeliveryReport.Action.COMPLAINT
        # The recipient as we wrote to it: a report may name the address that it was forwarded to.
        if each.is_proven and each.recipient is not None and (is_bounce or is_complaint):
            reason = Reason.BOUNCED if is_bounce else Reason.COMPLAINT
            given = Given(each.recipient.address, reason, each.reported_at, each.words)
            rows.append(_row(account_id, given))
    SuppressedAddress.objects.bulk_create(rows, ignore_conflicts=True)


def add(account: Account, given: Collection[Given], user_id: int | None) -> int:
    """Put addresses on the list; how many are new. What is there keeps its reason and date."""
    asked = {each.address.lower() for each in given}
    known = set(SuppressedAddress.objects.filter(account=account, address__in=asked).values_list("address", flat=True))
    rows = [_row(account.pk, each, user_id) for each in given if each.address.lower() not in known]
    SuppressedAddress.objects.bulk_create(rows, ignore_conflicts=True)
    return len({row.address for row in rows})


def _row(account_id: int, given: Given, user_id: int | None = None) -> SuppressedAddress:
    return SuppressedAddress(
        account_id=account_id,
        address=given.address.lower(),
        reason=given.reason,
        words=given.words[:300],
        since=given.since,
        added_by_id=user_id,
    )


def by_hand(address: str, words: str) -> Given:
    """Raises ValidationFailed for what is no address."""
    return Given(checked_spec(gettext("The address"), address.strip()), Reason.BY_HAND, timezone.now(), words)


def read_csv(content: bytes) -> Iterator[tuple[str, Given]]:
    """(the account's address, what is to be put on its list) of each line, as the export writes them. The first line
    names the columns. Raises CannotImport, and then nothing was given."""
    if len(content) > MOST_BYTES:
        raise CannotImport(gettext("The file is too large."))
    try:
        lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig").replace("\0", "")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CannotImport(gettext("The file is no CSV in UTF-8.")) from error
    if len(lines) > MOST_ROWS:
        raise CannotImport(gettext("At most %(number)s lines at once.") % {"number": MOST_ROWS})
    return iter([_read_line(number, line) for number, line in enumerate(lines, 2)])


def _read_line(number: int, line: dict[str, str | None]) -> tuple[str, Given]:
    # An apostrophe before what a spreadsheet would take for a formula, as the export writes it.
    cells = {name: (line.get(name) or "").strip().removeprefix("'") for name in HEAD}
    try:
        since = datetime.fromisoformat(cells["since"]) if cells["since"] else timezone.now()
        since = since if since.tzinfo else since.replace(tzinfo=timezone.get_current_timezone())
        if not FIRST_YEAR <= since.year <= timezone.now().year + 1:
            raise ValueError(gettext("The date is out of range."))
        reason = Reason(cells["reason"] or Reason.BY_HAND)
        address = checked_spec(gettext("The address"), cells["address"])
    except (ValueError, ValidationFailed) as error:
        line_number = gettext("Line %(number)s") % {"number": number}
        raise CannotImport(f"{line_number}: {error}") from error
    return cells["account"].lower(), Given(address, reason, since, cells["words"])
