"""The mail of a search or of a list of messages, given by the query string of that page's URL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q
from django.http import QueryDict

from mailbox import features
from mailbox.exports.mails import PAGE, Cursor, ExportedMail, of_messages
from mailbox.models import Account, Feature, Message, MessagePlace
from mailbox.models.accounts import AccountQuerySet
from mailbox.models.team_marks import TEAM_FILTERS, team_filter
from mailbox.permissions import Role, accounts_for
from mailbox.search.query import parse
from mailbox.search.results import ListPosition, SearchPage, search

END = "end"
COUNTED_AT_ONCE = 500
COUNTED = 5_000  # an estimate counts up to so many mails; above, the page says "more than"


class SelectionInvalid(ValueError):
    """The query string is no valid search or list; str() is a sentence that says so."""


@dataclass(frozen=True)
class Selection:
    """Conditions that all must hold. `q`: as typed into the search box. `account`, `folder`: pks as text. `team`: one
    of TEAM_FILTERS. "" means no condition."""

    q: str = ""
    account: str = ""
    folder: str = ""
    team: str = ""

    @classmethod
    def of(cls, query: str) -> Selection:
        """The selection that this query string states. Raises SelectionInvalid, whose str() is a sentence."""
        given = QueryDict(query)
        found = cls(**{each.name: given.get(each.name, "").replace("\0", "").strip() for each in fields(cls)})
        wrong = [key for key in (found.account, found.folder) if key and not (key.isascii() and key.isdigit())]
        if wrong or len(found.account) > 18 or len(found.folder) > 18 or found.team not in ("", *TEAM_FILTERS):
            raise SelectionInvalid("There is no such list of messages.")
        if problems := parse(found.q).problems:
            raise SelectionInvalid(" ".join(map(str, problems)))
        return found

    @property
    def query(self) -> str:
        """The query string that `of` reads, without empty conditions."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return urlencode({name: value for name, value in given.items() if value})

    def accounts(self, user: User, role: str = Role.OPERATOR) -> AccountQuerySet:
        """The accounts that the selection covers: those with this role for the user and with reading switched on."""
        seen = accounts_for(user, role)
        if self.account:
            seen = seen.filter(pk=int(self.account))
        if self.folder:
            seen = seen.filter(folders__pk=int(self.folder))
        off = features.those_off(Feature.INBOX_READ, known=features.Rollouts.known_to(user))
        return seen.exclude(pk__in=off) if off else seen

    def page(self, user: User, before: ListPosition | None, limit: int, role: str = Role.OPERATOR) -> SearchPage:
        """Up to `limit` messages before the position, newest first, with the columns that a manifest needs."""
        accounts = Account.objects.filter(pk__in=list(self.accounts(user, role).values_list("pk", flat=True)))
        narrowed = self._narrowed(user)
        if self.q:
            found = search(user, self.q, limit=limit, before=before, among=accounts, is_listed=False)
            if narrowed is None:
                return found
            kept = set(
                Message.objects.filter(narrowed, pk__in=[row.pk for row in found.rows]).values_list("pk", flat=True)
            )
            return SearchPage(tuple(row for row in found.rows if row.pk in kept), found.next)
        rows = Message.objects.visible().filter(narrowed or Q(), account__in=accounts).select_related("account")
        if before:
            rows = rows.filter(Q(received_at__lte=before[0]) & (Q(received_at__lt=before[0]) | Q(pk__lt=before[1])))
        page = list(rows.listed().order_by("-received_at", "-pk")[: limit + 1])
        last = page[limit - 1] if len(page) > limit else None
        return SearchPage(tuple(page[:limit]), (last.received_at, last.pk) if last else None)

    def _narrowed(self, user: User) -> Q | None:
        if not self.folder and not self.team:
            return None
        lying = MessagePlace.objects.present().filter(message=OuterRef("pk"), folder=int(self.folder or 0))
        in_folder = Q(Exists(lying)) if self.folder else Q()
        return in_folder & team_filter(self.team, user) if self.team else in_folder

    def walk(self, user: User, role: str = Role.OPERATOR) -> Iterator[Sequence[Message]]:
        """The mails that the user may read in this role, newest first, in pages."""
        before: ListPosition | None = None
        while True:
            page = self.page(user, before, COUNTED_AT_ONCE, role)
            yield page.rows
            if page.next is None:
                return
            before = page.next


@dataclass(frozen=True)
class ExportEstimate:
    """How many mails an export would have and their bytes. `is_more`: there are more; these were counted so far."""

    number: int
    size: int
    is_more: bool


def estimate(selection: Selection, user: User) -> ExportEstimate:
    """Count the mails that an export would have now; the count ends above COUNTED."""
    number = size = 0
    for rows in selection.walk(user):
        number, size = number + len(rows), size + sum(row.size for row in rows)
        if number > COUNTED:
            return ExportEstimate(number, size, True)
    return ExportEstimate(number, size, False)


@dataclass(frozen=True)
class SearchSource:
    """The mails of a selection, newest first. Mail that arrives during the export is newer than the cursor, so it is
    left out."""

    selection: Selection
    user: User

    def count(self) -> int:
        """How many mails there are. It reads all pages, so it takes as long as the search itself."""
        return sum(len(rows) for rows in self.selection.walk(self.user))

    def page(self, after: Cursor) -> tuple[list[ExportedMail], list[Cursor]]:
        if after == END:
            return [], []
        found = self.selection.page(self.user, (datetime.fromisoformat(after[0]), after[1]) if after else None, PAGE)
        cursors: list[Cursor] = [[row.received_at.isoformat(), row.pk] for row in found.rows]
        if found.next is not None:
            cursors[-1:] = [[found.next[0].isoformat(), found.next[1]]]
        elif cursors:
            cursors[-1] = END
        return of_messages(found.rows), cursors

    def files(self) -> Sequence[tuple[str, bytes]]:
        return ()
