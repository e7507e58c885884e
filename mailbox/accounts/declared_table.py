"""The accounts of a whole table: what would become of each line, and doing it, one account a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from mailbox.accounts import declared
from mailbox.accounts.declared_csv import TableRow
from mailbox.models import Account

SHOWN = 254  # characters of an address


@dataclass(frozen=True)
class LineOutcome:
    """`state`: made, changed, unchanged or refused. An account that was only looked at may have no row."""

    line: int
    email: str
    state: str
    account: Account | None = None
    changed: list[str] = field(default_factory=list)
    reason: str = ""


def look_through(rows: Iterable[TableRow]) -> list[LineOutcome]:
    """What carry_out would do now; nothing is kept."""
    return list(_outcomes(rows, is_kept=False))


def carry_out(rows: Iterable[TableRow]) -> Iterator[LineOutcome]:
    """Each account for itself: one that is refused keeps no other from being made."""
    return _outcomes(rows, is_kept=True)


def _outcomes(rows: Iterable[TableRow], *, is_kept: bool) -> Iterator[LineOutcome]:
    lines: dict[str, int] = {}  # address -> where it stood first
    for row in rows:
        email = row.values.get("email", "").strip()
        first = lines.setdefault(email.lower(), row.line)
        try:
            if first != row.line:
                raise declared.InvalidDeclaration(
                    gettext("This address stands in line %(line)s already.") % {"line": first}
                )
            found = _declared(row, is_kept=is_kept)
        except declared.InvalidDeclaration as refusal:
            yield LineOutcome(row.line, _shown(email), "refused", reason=str(refusal))
            continue
        yield LineOutcome(row.line, found.account.email, found.state, found.account, found.changed)


def _declared(row: TableRow, *, is_kept: bool) -> declared.Outcome:
    """Of an account that is made, no folder is fetched before somebody chose it, unless the line says so."""
    try:
        with transaction.atomic():
            outcome = declared.declare(row.values, declared.IN_FILE)
            if outcome.state == "made" and not row.values.get("sync_enabled", "").strip():
                outcome.account.folders.update(sync_enabled=False)
            if not is_kept:
                transaction.set_rollback(True)
    except IntegrityError:  # somebody added it at this moment
        raise declared.InvalidDeclaration(gettext("An account with this address exists already.")) from None
    return outcome


def _shown(email: str) -> str:
    """The cell, where it looks like an address: anything else may be a secret that slipped there."""
    return email[:SHOWN] if "@" in email else ""
