"""Fetching ahead: batch after batch of a walk, from the server alone. It touches no database, so a thread may do it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from mailbox.errors import MailError, Throttled
from mailbox.imap.fetch import by_bytes
from mailbox.imap.responses import is_refusal
from mailbox.imap.session import FetchedMessage, ImapSession, MessageMeta
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob

BATCH_BYTES = 4 * 1024 * 1024
BATCH_COUNT = 200
META_COUNT = 500  # messages of which one command asks flags, date and size
MOST_PROBED = 5  # other messages that are asked for when one was refused
NOT_GIVEN = "The server lists this message but does not give it."


@dataclass
class Fetched:
    """What came of one batch. `read`: what the parsers make of `messages`, in their order."""

    uids: list[int]
    messages: list[FetchedMessage] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    is_last: bool = False  # none is left after it
    read: parsing_pool.Pending = field(default_factory=lambda: parsing_pool.Pending([]))


@dataclass
class MessageBudget:
    """How many messages a job may still take; `go_on` says, when it has had them, whether it may have as many again."""

    left: int
    go_on: Callable[[], bool] = lambda: False

    def renew(self) -> None:
        if self.left <= 0 and self.go_on():
            self.left = META_COUNT


@dataclass
class Source:
    """The server, and what a parser must know besides the bytes. `limit`: bytes; of a larger one only the header."""

    imap: ImapSession
    account_id: int
    vendor: str
    limit: int | None
    stored_uid: int | None = None  # of a message that was fetched before, and can be fetched again

    def bring(self, uids: Sequence[int], metas: Mapping[int, MessageMeta | None]) -> Fetched:
        """Fetch these, of which `metas` has been said; raises MailError when the connection is no good."""
        there = [meta for uid in uids if (meta := metas.get(uid)) is not None]
        fetched = Fetched(list(uids), sizes={meta.uid: meta.size for meta in there})
        fetched.messages = list(self._bodies(there, fetched.failures))
        self._look_for_missing(fetched)
        fetched.read = parsing_pool.read(
            [ParseJob(each.raw, each.meta.size, self.account_id, self.vendor) for each in fetched.messages]
        )
        return fetched

    def _bodies(self, metas: Sequence[MessageMeta], failures: dict[int, str]) -> Iterator[FetchedMessage]:
        small = [meta for meta in metas if self.limit is None or meta.size <= self.limit]
        try:
            yield from list(self.imap.fetch_messages(small))
        except MailError as error:  # one bad message makes some servers refuse the whole command: ask one by one
            if not is_refusal(error):
                raise
            yield from self._one_by_one(small, lambda meta: list(self.imap.fetch_messages([meta])), failures)
        large = [meta for meta in metas if self.limit is not None and meta.size > self.limit]
        yield from self._one_by_one(large, lambda meta: [self.imap.fetch_header(meta)], failures)

    def _one_by_one(
        self,
        metas: Sequence[MessageMeta],
        fetch: Callable[[MessageMeta], list[FetchedMessage]],
        failures: dict[int, str],
    ) -> Iterator[FetchedMessage]:
        """What is refused goes into `failures`. A server that asks to wait is believed unless it gives another one."""
        gives_others = False
        for meta in metas:
            try:
                fetched = fetch(meta)
            except MailError as error:
                if not is_refusal(error):
                    raise
                if isinstance(error, Throttled) and not gives_others:
                    gives_others = self.gives_another(meta.uid, metas)
                    if not gives_others:
                        raise
                failures[meta.uid] = str(error)
            else:
                gives_others = gives_others or bool(fetched)
                yield from fetched

    def gives_another(self, uid: int, others: Sequence[MessageMeta] = ()) -> bool:
        """Whether the server gives a message besides this one now: then its refusal is about this one.

        `others` are tried first, then the one that was stored before; without any there is nothing to tell them apart
        by, and the refusal is taken for this one's.
        """
        smallest = sorted((meta for meta in others if meta.uid != uid), key=lambda meta: meta.size)[:MOST_PROBED]
        if self.stored_uid not in (None, uid):
            smallest += self.imap.fetch_meta([self.stored_uid] if self.stored_uid else [])
        for meta in smallest:
            try:
                if list(self.imap.fetch_messages([meta])):
                    return True
            except MailError as error:
                if not is_refusal(error):
                    raise
        return not smallest

    def _look_for_missing(self, fetched: Fetched) -> None:
        """A UID found by SEARCH and not fetched was expunged in between, or the server does not give it."""
        got = {each.meta.uid for each in fetched.messages}
        missing = [uid for uid in fetched.uids if uid not in got and uid not in fetched.failures]
        if missing:
            there = set(self.imap.search_uids(min(missing), max(missing)))
            fetched.failures.update({uid: NOT_GIVEN for uid in missing if uid in there})


def metas_in_range(imap: ImapSession, low: int, high: int) -> dict[int, MessageMeta]:
    """Flags, date and size of what there is from low to high, by UID, ascending, as fetch_meta_around() has them."""
    try:
        return imap.fetch_range(low, high)
    except MailError as error:
        if not is_refusal(error):
            raise
    return {meta.uid: meta for meta in imap.fetch_meta_around(imap.search_uids(low, high))}


@dataclass
class Prefetcher:
    """The UIDs of a walk, taken batch by batch. `metas`: what the server has said of some already."""

    source: Source
    uids: Iterator[int]
    budget: MessageBudget
    metas: dict[int, MessageMeta | None] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)
    error: MailError | None = None  # met while looking ahead: what was brought before it is sound

    @property
    def first(self) -> int | None:
        """The UID that the next batch begins with; None when there is none, or none is allowed."""
        return self.waiting[0] if self.waiting and self.budget.left > 0 else None

    def look(self) -> None:
        """Learn which UIDs come next: one more than is allowed, so that it is known whether that is all."""
        wanted = min(self.budget.left, META_COUNT) + 1
        self.waiting.extend(islice(self.uids, max(wanted - len(self.waiting), 0)))

    def bring(self, *, count: int = BATCH_COUNT, asked: int = META_COUNT) -> Fetched:
        """Fetch the next batch of at most `count`, and look what follows; `asked`: of how many the size is asked at
        once. Raises MailError; then the batch is still the next."""
        self.look()  # the budget may have been renewed
        allowed = list(islice(self.waiting, self.budget.left))
        if allowed[0] not in self.metas:
            some = allowed[:asked]
            self.metas.update(dict.fromkeys(some))
            self.metas.update({meta.uid: meta for meta in self.source.imap.fetch_meta_around(some)})
        known = [_Planned(uid, self._wire_size(uid)) for uid in takewhile(self.metas.__contains__, allowed)]
        chosen = [each.uid for each in next(by_bytes(known, BATCH_BYTES, count))]
        fetched = self.source.bring(chosen, self.metas)
        self._take(len(chosen))
        try:
            self.look()
        except MailError as error:
            self.error = error
        fetched.is_last = not self.waiting and self.error is None
        return fetched

    def skip(self, reason: str) -> Fetched:
        """Give the next one up unfetched."""
        uid = self.waiting[0]
        self._take(1)
        self.look()
        return Fetched([uid], failures={uid: reason}, is_last=not self.waiting)

    def _take(self, count: int) -> None:
        for _ in range(count):
            self.metas.pop(self.waiting.popleft(), None)
        self.budget.left -= count

    def _wire_size(self, uid: int) -> int:
        """Bytes that will cross the wire: none of the body when it is too large."""
        meta, limit = self.metas.get(uid), self.source.limit
        return 0 if meta is None or (limit is not None and meta.size > limit) else meta.size


@dataclass(frozen=True)
class _Planned:
    uid: int
    size: int
