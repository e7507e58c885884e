"""Finds the problems that need a person now, from existing rows; each becomes one incident."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db.models import Count, Max, QuerySet
from django.urls import reverse
from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext

from alerts.models import Kind
from alerts.problems import expiries, installation
from alerts.problems.problem import ALERT_KEY, Problem, isolated, said, utc
from mailbox.accounts.condition import AccountNotice
from mailbox.accounts.health import chosen_folders, conditions
from mailbox.accounts.waiting_mail import of_failing
from mailbox.completeness.words import of_incident
from mailbox.localized import grouped
from mailbox.models import Account, Completeness, Quarantine, WorkerHeartbeat
from mailbox.oauth import apps
from outbox.models import DeliveryReport, OutboxMessage

logger = logging.getLogger(__name__)
# The kind of an account's condition (accounts.health) -> Kind. Switches that a person has set are no incidents.
_OF_CONDITION = {
    "folder_stopped": Kind.STOPPED,
    "deletion_stopped": Kind.DELETION,
    "sync_fails": Kind.BEHIND,
    "behind": Kind.BEHIND,
    "over_quota": Kind.BEHIND,
    "sending_fails": Kind.SENDING,
}


@dataclass(frozen=True)
class Problems:
    """The problems found. `unknown`: kinds that cannot be judged now, so that their open incidents stay open. `error`:
    of a part of the search, whose problems are missing."""

    found: tuple[Problem, ...]
    unknown: frozenset[str] = frozenset()
    error: Exception | None = None

    def all(self) -> tuple[Problem, ...]:
        """The problems, for who is told that there are no others. Raises the error of a part that failed."""
        if self.error is not None:
            raise self.error
        return self.found


def find_problems(now: datetime) -> Problems:
    """All problems, at a cost that does not grow with the amount of mail.

    Where a part of the search fails, the others are told all the same, and no incident ends.
    """
    works = WorkerHeartbeat.objects.alive(now).exists()
    parts: list[Callable[[], Iterable[Problem]]] = [
        partial(installation.find, now) if works else partial(_workers, now),
        _providers,
        # Without workers all folders fall behind: that is one problem, not one for each account.
        partial(_of_accounts, now, with_behind=works),
        _of_mail,
        _incomplete,
        partial(expiries.find, now),
    ]
    found, failure = list[Problem](), None
    unknown = frozenset[str]() if works else frozenset({Kind.BEHIND, *installation.TOLD_BY_WORKERS})
    for part in parts:
        try:
            found += part()
        except Exception as error:
            logger.exception("alerts_not_searched")
            unknown, failure = frozenset(Kind.values), error
    return Problems(tuple(found), unknown, failure)


def find_of_accounts(among: Collection[int], now: datetime) -> tuple[Problem, ...]:
    """The problems of these accounts, and those that stop all mail: no worker runs, or all sending is paused. Reads no
    rows of other accounts."""
    works = WorkerHeartbeat.objects.alive(now).exists()
    of_all = installation.paused() if works else _workers(now)
    own = (*_of_accounts(now, with_behind=works, among=among), *_of_mail(among), *_incomplete(among))
    return (*of_all, *own, *expiries.find(now, among))


def _workers(now: datetime) -> Iterator[Problem]:
    if not Account.objects.exists():
        return  # workers would have nothing to do
    seen = WorkerHeartbeat.objects.not_ahead(now).aggregate(last=Max("seen_at"))["last"]
    never = _("No worker has run: nothing is fetched and nothing is sent.")
    text = _("No worker has run since %(time)s: nothing is fetched and nothing is sent.")
    words = said(text, time=utc(seen)) if seen else said(never)
    yield Problem("workers", Kind.WORKERS, None, words, reverse("dashboard"))


def _providers() -> Iterator[Problem]:
    """Sign-in providers that refuse the site's own client id or secret: one problem each, for all waiting accounts."""
    for each in apps.refused():
        words = partial(_refuses_us, str(each.app), each.waiting, each.words)
        yield Problem(f"provider:{each.app.pk}", Kind.SIGN_IN, None, words, each.app.get_absolute_url())


def _refuses_us(provider: str, waiting: int, words: str) -> str:
    sentence = ngettext(
        "%(provider)s refuses this site's own client id or secret, and %(number)s account waits. %(words)s",
        "%(provider)s refuses this site's own client id or secret, and %(number)s accounts wait. %(words)s",
        waiting,
    )
    number = grouped(waiting)
    return (sentence % {"provider": isolated(provider), "number": number, "words": isolated(words)}).strip()


def _of_accounts(now: datetime, *, with_behind: bool, among: Collection[int] | None = None) -> Iterator[Problem]:
    accounts = Account.objects.select_related("imap", "smtp").prefetch_related(chosen_folders())
    accounts = accounts if among is None else accounts.filter(pk__in=among)
    waiting = of_failing(accounts, now)
    for account in accounts:
        folders = account.chosen_folders  # type: ignore[attr-defined]
        seen: set[str] = set()
        for number, condition in enumerate(conditions(account, folders, now, waiting)):
            # For each language the conditions are computed again: the same rows give the same ones in the same order.
            again = partial(conditions, account, folders, now, waiting)
            problem = _of_condition(account, condition, partial(_told, account, again, number))
            if problem is None or problem.key in seen or (problem.kind == Kind.BEHIND and not with_behind):
                continue
            seen.add(problem.key)
            yield problem


def _told(account: Account, again: Callable[[], list[AccountNotice]], number: int) -> str:
    condition = again()[number]
    if condition.kind == "sending_fails" and condition.since:
        fails = _("Sending from %(account)s fails since %(time)s.")
        begins = said(fails, account=account.email, time=utc(condition.since))()
        return f"{begins} {condition.sentence} {isolated(condition.reply)}"
    return f"{isolated(account.email)}: {condition.sentence}"


def _of_condition(account: Account, condition: AccountNotice, words: Callable[[], str]) -> Problem | None:
    if condition.remedy.startswith("sign_in_"):
        which = condition.remedy.removeprefix("sign_in_")
        path = reverse("mailbox:account_sign_in", args=[account.pk, which])
        return Problem(f"sign_in:{which}:{account.pk}", Kind.SIGN_IN, account.pk, words, path)
    kind = _OF_CONDITION.get(condition.kind)
    if kind is None or condition.tone not in ("needs", "broken"):
        return None
    return Problem(f"{kind}:{account.pk}", kind, account.pk, words, reverse("mailbox:account", args=[account.pk]))


def _of_mail(among: Collection[int] | None = None) -> Iterator[Problem]:
    """Failed and uncertain outbox rows, delivery reports and quarantine. `among`: of these accounts only; None: all."""
    held = OutboxMessage.objects.filter(status=OutboxMessage.Status.FAILED)
    held = held if among is None else held.whose(among)
    alerts = held.filter(idempotency_key__startswith=ALERT_KEY)
    others = held.exclude(idempotency_key__startswith=ALERT_KEY)
    tabs = reverse("outbox:list")
    for_good = ("permanent", "gave_up")
    yield from _counted(
        others.filter(hold="uncertain"),
        Kind.UNCERTAIN,
        lambda number: ngettext(
            "%(account)s: %(number)s mail may or may not have gone out.",
            "%(account)s: %(number)s mails may or may not have gone out.",
            number,
        ),
        f"{tabs}?state=needs_decision&account=",
    )
    yield from _counted(
        others.filter(hold__in=for_good),
        Kind.FAILED,
        lambda number: ngettext(
            "%(account)s: %(number)s mail failed for good.", "%(account)s: %(number)s mails failed for good.", number
        ),
        f"{tabs}?state=failed_for_good&account=",
    )
    yield from _counted(
        alerts.filter(hold__in=(*for_good, "uncertain")),
        Kind.ALERT_MAIL,
        lambda number: ngettext(
            "%(account)s: %(number)s alert could not be mailed.",
            "%(account)s: %(number)s alerts could not be mailed.",
            number,
        ),
        f"{tabs}?account=",
    )
    yield from _of_reports(among)
    yield from _of_quarantine(among)


def _of_reports(among: Collection[int] | None) -> Iterator[Problem]:
    reports = DeliveryReport.objects.unacknowledged().exclude(outbox__idempotency_key__startswith=ALERT_KEY)
    reports = reports if among is None else reports.whose(among)
    unseen = f"{reverse('outbox:list')}?mark=unseen&account="
    yield from _counted(reports.bounces(), Kind.BOUNCE, _came_back, unseen, field="outbox__account")
    yield from _counted(reports.complaints(), Kind.COMPLAINT, _complained, unseen, field="outbox__account")


def _of_quarantine(among: Collection[int] | None) -> Iterator[Problem]:
    quarantined = Quarantine.objects.open()
    yield from _counted(
        quarantined if among is None else quarantined.filter(account__in=among),
        Kind.QUARANTINE,
        lambda number: ngettext(
            "%(account)s: %(number)s message could not be fetched or read.",
            "%(account)s: %(number)s messages could not be fetched or read.",
            number,
        ),
        f"{reverse('mailbox:quarantine')}?account=",
    )


def _came_back(number: int) -> str:
    return ngettext(
        "%(account)s: %(number)s report of a mail that came back.",
        "%(account)s: %(number)s reports of mail that came back.",
        number,
    )


def _complained(number: int) -> str:
    return ngettext(
        "%(account)s: %(number)s complaint of a recipient about a mail.",
        "%(account)s: %(number)s complaints of recipients about mail.",
        number,
    )


def _incomplete(among: Collection[int] | None = None) -> Iterator[Problem]:
    """Accounts whose last comparison with the server found differences."""
    rows = Completeness.objects.filter(differing__gt=0).select_related("account")
    for row in rows if among is None else rows.filter(account__in=among):
        path = reverse("mailbox:account_completeness", args=[row.account_id])
        key = f"{Kind.INCOMPLETE}:{row.account_id}"
        yield Problem(key, Kind.INCOMPLETE, row.account_id, partial(_differs, row), path, row.differing)


def _differs(row: Completeness) -> str:
    return f"{isolated(row.account.email)}: {of_incident(row)}"


def _counted(
    rows: QuerySet[OutboxMessage] | QuerySet[DeliveryReport] | QuerySet[Quarantine],
    kind: Kind,
    words: Callable[[int], str],
    page: str,
    *,
    field: str = "account",
) -> Iterator[Problem]:
    """One problem for each account with such rows."""
    groups = rows.order_by().values(field, f"{field}__email").annotate(count=Count("pk"), newest=Max("pk"))
    for group in groups:
        pk, count = group[field], group["count"]
        sentence = partial(_of_number, words, group[f"{field}__email"], count)
        yield Problem(f"{kind}:{pk}", kind, pk, sentence, f"{page}{pk}", count, group["newest"])


def _of_number(words: Callable[[int], str], account: str, number: int) -> str:
    return words(number) % {"account": isolated(account), "number": grouped(number)}
