"""Filter and order of the account list, as given by the URL's query."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.accounts.needing import in_trouble
from mailbox.db.ignoring_case import contains
from mailbox.models import Account
from mailbox.views.requests import Refused

SORTS = {"state": _("Broken ones first"), "email": _("By address")}
STATES = {
    "trouble": _("Needs somebody"),
    "paused": _("Paused or switched off"),
    "fine": _("Fine"),
}
TEXT_LIMIT = 200


def switched_off() -> Q:
    """Accounts whose sending is paused or off, or whose fetching is off."""
    return Q(sending_paused_at__isnull=False) | Q(sync_enabled=False) | Q(send_enabled=False)


@dataclass(frozen=True)
class AccountFilter:
    """`text`: part of an address. `state`: a key of STATES, "" for all. `sort`: a key of SORTS."""

    text: str = ""
    state: str = ""
    sort: str = "state"

    @classmethod
    def of(cls, request: HttpRequest) -> AccountFilter:
        """The filter of this request's query. Raises Refused for an unknown state or order."""
        state, sort = request.GET.get("state", ""), request.GET.get("sort", "") or "state"
        for given, known in ((state, STATES), (sort, SORTS)):
            if given and given not in known:
                raise Refused(
                    gettext("There is no filter “%(given)s”: choose one of the list's.") % {"given": given[:40]}
                )
        return cls(request.GET.get("q", "").replace("\0", "").strip()[:TEXT_LIMIT], state, sort)

    @property
    def narrows(self) -> bool:
        """Whether it leaves accounts out."""
        return bool(self.text or self.state)

    def query(self, **more: str | int) -> str:
        """Its query string, with further parameters, and without those that are as by default."""
        sort = "" if self.sort == "state" else self.sort
        asked = {"q": self.text, "state": self.state, "sort": sort} | more
        return urlencode({name: value for name, value in asked.items() if value})

    @property
    def by_state(self) -> str:
        """The query string of the same list ordered by state."""
        return self.query(sort="")

    @property
    def by_email(self) -> str:
        """Its query string when ordered by address."""
        return self.query(sort="email")

    def rows(self, accounts: QuerySet[Account], after: str) -> QuerySet[Account]:
        """The accounts after `after`, which cursor() has made; raises Refused for another text."""
        rank = Case(
            When(in_trouble(timezone.now()), then=0),
            When(switched_off(), then=1),
            default=2,
            output_field=IntegerField(),
        )
        constant = Value(0, output_field=IntegerField())
        found = accounts.annotate(rank=rank if self.sort == "state" or self.state else constant)
        if self.state:
            found = found.filter(rank=list(STATES).index(self.state))
        if self.text:
            words = ("email", "display_name", "imap__host", "smtp__host")
            matches = Q()
            for name in words:
                matches |= contains(name, self.text)
            found = found.filter(matches)
        if after:
            least, _dash, email = after.partition("~")
            if not (least.isascii() and least.isdigit() and len(least) == 1) or "\0" in email:
                raise Refused(gettext("The address names no place in this list; start from its first page."))
            found = found.filter(Q(rank__gt=int(least)) | Q(rank=int(least), email__gt=email))
        return found.order_by("rank", "email")

    @staticmethod
    def cursor(account: Account) -> str:
        """Where the next page begins behind this account, whose row has the annotation `rank`."""
        return f"{account.rank}~{account.email}"  # type: ignore[attr-defined]
