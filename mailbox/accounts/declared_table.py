"""Imports the accounts of a table: a preview of what each line would do, and the import, one transaction a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from mailbox.accounts import declared
from mailbox.accounts.declared_csv import TableRow
from mailbox.models import Account

SHOWN = 254  # characters of an address


@dataclass(frozen=True)
class LineOutcome:
    """`state`: "made", "changed", "unchanged" or "refused". In a preview `account` may have no row in the database."""

    line: int
    email: str
    state: str
    account: Account | None = None
    changed: list[str] = field(default_factory=list)
    reason: str = ""


def look_through(rows: Iterable[TableRow]) -> list[LineOutcome]:
    """What carry_out() would do now; everything is rolled back."""
    return list(_outcomes(rows, None))


def carry_out(rows: Iterable[TableRow], note: Callable[[declared.DeclarationOutcome], object]) -> Iterator[LineOutcome]:
    """Import line by line; a refused line does not stop the others. note: called in the transaction of its line."""
    return _outcomes(rows, note)


def _outcomes(
    rows: Iterable[TableRow], note: Callable[[declared.DeclarationOutcome], object] | None
) -> Iterator[LineOutcome]:
    lines: dict[str, int] = {}  # address -> number of its first line
    for row in rows:
        email = row.values.get("email", "").strip()
        first = lines.setdefault(email.lower(), row.line)
        try:
            if first != row.line:
                raise declared.InvalidDeclaration(
                    gettext("This address stands in line %(line)s already.") % {"line": first}
                )
            found = _declared(row, note)
        except declared.InvalidDeclaration as refusal:
            yield LineOutcome(row.line, _shown(email), "refused", reason=str(refusal))
            continue
        yield LineOutcome(row.line, found.account.email, found.state, found.account, found.changed)


def _declared(
    row: TableRow, note: Callable[[declared.DeclarationOutcome], object] | None
) -> declared.DeclarationOutcome:
    """Import one line. A new account syncs no folder before a person chooses some, unless the line has sync_enabled."""
    try:
        with transaction.atomic():
            outcome = declared.declare(row.values, declared.IN_FILE)
            if outcome.state == "made" and not row.values.get("sync_enabled", "").strip():
                outcome.account.folders.update(sync_enabled=False)
            if note:
                note(outcome)
            else:
                transaction.set_rollback(True)
    except IntegrityError:  # somebody else has just added this address
        raise declared.InvalidDeclaration(gettext("An account with this address exists already.")) from None
    return outcome


def _shown(email: str) -> str:
    """The cell if it looks like an address, else "": it may be a secret in the wrong column."""
    return email[:SHOWN] if "@" in email else ""
