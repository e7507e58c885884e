"""Groups failed mail by cause: the invariant part of the server's reply, the domain, the account and the hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from outbox.actions.filters import OutboxFilters
from outbox.models import OutboxMessage
from outbox.models.messages import OutboxQuerySet
from outbox.views.status import first_line, is_unknown_user

GROUPED_STATES = ("failed_for_good", "retrying")
LOOKED_AT = 2_000  # newest rows of the state that are grouped
SHOWN = 6
_LEAST = 2  # mails of a group; a single mail is only a row of the list
# outbox.delivery.outcomes writes the refused recipient before the server's reply.
_RECIPIENT = re.compile(r"^[^\s@]*+@[^\s@:]++: ")
# Words that vary: addresses, links, words with a digit (ids, hosts, times, sizes). The reply codes before them do not.
_CODES = re.compile(r"\s*[245]\d\d(?:[ -]+[245]\.\d{1,3}\.\d{1,3})?")
_WORD = re.compile(r"\S+")
_VARIES = re.compile(r"[@\d]|https?://")
_BRACKETS = re.compile(r"[<>\[\](){}\"']+")
_DOMAIN = re.compile(r"@([\w.-]+)")


@dataclass(frozen=True)
class Cause:
    """What the mails of a group have in common. `words`: text that is in all their replies, or ""."""

    codes: str  # "550 5.1.1"
    words: str
    domain: str  # "" for several
    account: int
    hold: str


@dataclass(frozen=True)
class FailureGroup:
    """Failed mails with the same cause, as the list shows them above its rows."""

    cause: Cause
    account: str
    number: int
    query: str  # query string of the list of these mails
    is_sign_in: bool
    is_unknown_user: bool
    retry_verb: str


def shared_words(error: str) -> str:
    """The longest part of the server's reply without words that vary from mail to mail; may begin with its codes."""
    line = _without_recipient(error)
    codes = _CODES.match(line)
    start = codes.end() if codes else 0
    pieces, at = list[str](), 0
    for begin, end in _varying(line, start):
        pieces.append(line[at:begin])
        at = end
    longest: str = max([*pieces, line[at:]], key=len)
    return longest.strip(" .,:;-")[:120]


def _varying(line: str, start: int) -> Iterator[tuple[int, int]]:
    """The spans of varying words (addresses, links, numbers), and of brackets in other words."""
    for word in _WORD.finditer(line, start):
        if _VARIES.search(word[0]):
            yield word.span()
            continue
        for brackets in _BRACKETS.finditer(word[0]):
            yield word.start() + brackets.start(), word.start() + brackets.end()


def _without_recipient(error: str) -> str:
    return _RECIPIENT.sub("", first_line(error), count=1)


def codes_of(error: str) -> str:
    """The codes at the beginning of a reply, as in "550 5.1.1"; "" for a failure without a reply."""
    found = _CODES.match(_without_recipient(error))
    return found[0].strip() if found else ""


def _domain(to: str) -> str:
    domains = {found.lower().rstrip(".") for found in _DOMAIN.findall(to)}
    return domains.pop() if len(domains) == 1 else ""


def grouped(rows: OutboxQuerySet, filters: OutboxFilters, accounts: dict[int, str]) -> list[FailureGroup]:
    """The most frequent causes among the newest rows, by one query; [] if the filters ask for one cause already."""
    if filters.state not in GROUPED_STATES or filters.said or filters.text:
        return []
    newest = rows.order_by("-pk").values_list("error", "to", "account_id", "hold")[:LOOKED_AT]
    return _groups(newest, filters, accounts)


def _groups(
    rows: Iterable[tuple[str, str, int, str]], filters: OutboxFilters, accounts: dict[int, str]
) -> list[FailureGroup]:
    known = list(rows)
    counted = Counter(
        Cause(codes_of(error), shared_words(error), _domain(to), account, hold) for error, to, account, hold in known
    )
    groups = dict[str, FailureGroup]()
    for cause, number in counted.most_common(SHOWN):
        if number >= _LEAST and cause.words:
            group = _shown(cause, sum(_is_found(cause, *row) for row in known), filters, accounts)
            groups.setdefault(group.query, group)
    return list(groups.values())


def _is_found(cause: Cause, error: str, to: str, account: int, hold: str) -> bool:
    """Whether the list of the group has this row: its words and domain may be those of other causes, too."""
    domains = {found.lower().rstrip(".") for found in _DOMAIN.findall(to)}
    is_of_account = (account, hold) == (cause.account, cause.hold)
    return is_of_account and cause.words.lower() in error.lower() and (not cause.domain or cause.domain in domains)


def _shown(cause: Cause, number: int, filters: OutboxFilters, accounts: dict[int, str]) -> FailureGroup:
    here = replace(filters, account=cause.account, said=cause.words, reason=cause.hold)
    return FailureGroup(
        cause,
        accounts.get(cause.account, ""),
        number,
        replace(here, domain=cause.domain or filters.domain).query(),
        is_sign_in=cause.hold == OutboxMessage.Hold.SIGN_IN,
        is_unknown_user=is_unknown_user(cause.codes),
        retry_verb="retry" if cause.hold else "send_now",
    )
