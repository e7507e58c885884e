"""An account's suppression list: addresses that it does not write to.

A bounce or a complaint puts an address on the list, but only if the report is proven (DeliveryReport.is_proven) and the
mail had one recipient. The proof is in the mail, so any other recipient could have forged the report.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone
from django.utils.translation import gettext

from mailbox.db import bulk_insert
from mailbox.models import Account
from outbox.compose.addresses import checked_spec
from outbox.errors import ValidationFailed
from outbox.models import DeliveryReport, SuppressedAddress

Reason = SuppressedAddress.Reason
# Enhanced status codes (RFC 3463) that condemn the recipient's address. Not 5.1.7 and 5.1.8, which are about the
# sender's; nor a full mailbox, a policy or the content, as the next mail may be accepted; nor 5.0.0, which is vague.
OF_THE_ADDRESS = ("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
MOST_BYTES, MOST_ROWS = 2_000_000, 10_000
FIRST_YEAR = 1970  # no report is older; databases and time zones fail for dates near year 1
HEAD = ("account", "address", "reason", "since", "words")


class CannotImport(Exception):
    """A file of addresses cannot be imported. str() is a sentence; it names the line if one is wrong."""


class NotOperated(CannotImport):
    """The file names an account that does not exist, or that the importing user does not operate."""


@dataclass(frozen=True)
class Given:
    """An address to put on a list; `reason` is a value of SuppressedAddress.Reason, `words` explain it."""

    address: str
    reason: str
    since: datetime
    words: str = ""


def check(account: Account, addresses: Iterable[str], *, may_be_overridden: bool) -> None:
    """Raise ValidationFailed if one of the addresses is on the account's list.

    may_be_overridden: the sentence offers to send anyway. Mail submitted by SMTP or as a whole cannot ask for that.
    """
    asked = {each.lower() for each in addresses}
    listed = bulk_insert.known(SuppressedAddress, "address", asked, account_id=account.pk)  # mostly none
    row = _first(account, listed) if listed else None
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


def _first(account: Account, addresses: Iterable[str]) -> SuppressedAddress | None:
    return SuppressedAddress.objects.filter(account=account, address__in=addresses).order_by("address").first()


def overridden(account: Account, addresses: Iterable[str]) -> list[str]:
    """Those of the addresses that are on the account's list, sorted: the sender chose to write to them anyway."""
    asked = {each.lower() for each in addresses}
    found = SuppressedAddress.objects.filter(account=account, address__in=asked)
    return sorted(found.values_list("address", flat=True))


def note(account_id: int, reports: Iterable[DeliveryReport]) -> None:
    """Put recipients on the list for proven bounces and complaints, in the transaction that saves the reports."""
    rows = []
    for each in reports:
        is_bounce = each.action == DeliveryReport.Action.FAILED and each.status_code in OF_THE_ADDRESS
        is_complaint = each.action == DeliveryReport.Action.COMPLAINT
        # Our recipient's address: the report may name the one that the mail was forwarded to.
        if each.is_proven and each.recipient is not None and (is_bounce or is_complaint):
            reason = Reason.BOUNCED if is_bounce else Reason.COMPLAINT
            given = Given(each.recipient.address, reason, each.reported_at, each.words)
            rows.append(_row(account_id, given))
    SuppressedAddress.objects.bulk_create(rows, ignore_conflicts=True)


def add(account: Account, given: Collection[Given], user_id: int | None) -> int:
    """Put addresses on the list and return how many are new. Addresses on the list keep their reason and date."""
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
    """An entry that a person makes. Raises ValidationFailed if it is no address."""
    return Given(checked_spec(gettext("The address"), address.strip()), Reason.BY_HAND, timezone.now(), words)


def read_csv(content: bytes) -> Iterator[tuple[str, Given]]:
    """Read a CSV file as the export writes it: (the account's address, the entry for its list) for each line.

    Its first line names the columns. All lines are checked first: raises CannotImport.
    """
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
    # The export puts an apostrophe before text that a spreadsheet would evaluate as a formula.
    cells = {name: (line.get(name) or "").strip().removeprefix("'") for name in HEAD}
    try:
        since = datetime.fromisoformat(cells["since"]) if cells["since"] else timezone.now()
        since = since if since.tzinfo else since.replace(tzinfo=timezone.get_current_timezone())
        if not FIRST_YEAR <= since.year <= timezone.now().year + 1:
            raise ValueError(gettext("The date is out of range."))
        since = since.astimezone(UTC)  # PostgreSQL refuses offsets of 16 hours and more
        reason = Reason(cells["reason"] or Reason.BY_HAND)
        address = checked_spec(gettext("The address"), cells["address"])
    except (ValueError, ValidationFailed) as error:
        line_number = gettext("Line %(number)s") % {"number": number}
        raise CannotImport(f"{line_number}: {error}") from error
    return cells["account"].lower(), Given(address, reason, since, cells["words"])
