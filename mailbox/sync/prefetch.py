"""Fetches the batches of a walk from the server. It makes no database queries, so it may run on a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, islice, takewhile

from django.db import connection

from mailbox.errors import MailError, ProviderError, Throttled
from mailbox.imap.responses import is_refusal
from mailbox.imap.session import FetchedMessage, ImapSession, MessageMeta
from mailbox.messages.store import Incoming
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob

BATCH_BYTES = 4 * 1024 * 1024
BATCH_COUNT = 200
META_COUNT = 500  # messages whose flags, date and size one command asks for
UNSTATED_BYTES = 256 * 1024  # assumed of a message whose size the server does not state
MOST_PROBED = 5  # other messages that are tried when one was refused
NOT_GIVEN = "The server lists this message but does not give it."
NOTHING_GIVEN = "The server lists messages but gives none of them now."
FetchOne = Callable[[MessageMeta], list[FetchedMessage]]  # an empty list for a message that is gone
fetching = set[ThreadPoolExecutor]()  # the threads of this process that fetch, one for each folder


@contextmanager
def fetch_thread(imap: ImapSession) -> Iterator[ThreadPoolExecutor]:
    """One thread that talks to the server, a step at a time, while the run's own thread writes to the database."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    fetching.add(thread)
    try:
        yield thread
    except BaseException as error:
        if not isinstance(error, Exception):
            imap.close(politely=False)  # the task's time-out: end a wait for the server at once
        raise
    finally:
        thread.shutdown()  # waits: nobody else may use the connection before the step has ended
        fetching.discard(thread)


@dataclass
class Batch:
    """A batch of messages: as it came from the server and, once it was read, as it is committed.

    uids: of the whole batch, in the walk's order. failures: UID -> why a message goes to quarantine. sizes: UID ->
    bytes, as stated. read: the parsers' results for `messages`, in the same order, possibly still pending.
    incoming: messages to store.
    """

    uids: list[int]
    messages: list[FetchedMessage] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    read: parsing_pool.Pending = field(default_factory=lambda: parsing_pool.Pending([]))
    incoming: list[Incoming] = field(default_factory=list)


@dataclass
class MessageBudget:
    """How many messages a job may still fetch.

    When it has had them, `go_on` says whether it may have more without opening the folder again.
    """

    left: int
    go_on: Callable[[], bool] = lambda: False

    def renew(self) -> None:
        """Allow META_COUNT more messages when all are fetched and `go_on` agrees."""
        if self.left <= 0 and self.go_on():
            self.left = META_COUNT


@dataclass
class MessageSource:
    """Fetches messages of the open folder and hands them to the parsers.

    limit: bytes; of a larger message only the header is fetched.
    stored: a message that was fetched before, to test whether the server gives any; None if there is none.
    """

    imap: ImapSession
    account_id: int
    limit: int
    stored: MessageMeta | None = None

    def bring(
        self, uids: Sequence[int], metas: Mapping[int, MessageMeta | None], fetch: FetchOne | None = None
    ) -> Batch:
        """Fetch these UIDs. A refused message goes into `failures`; a MailError is raised for the whole connection.

        metas: UID -> flags, date and size, None for a UID that the server did not answer.
        fetch: fetches a message in another way, as in pieces.
        """
        there = [meta for uid in uids if (meta := metas.get(uid)) is not None]
        fetched = Batch(list(uids), sizes={meta.uid: meta.size for meta in there})
        bodies = self._one_by_one(there, fetch, fetched.failures) if fetch else self._bodies(there, fetched.failures)
        fetched.messages = list(bodies)
        self._look_for_missing(fetched)
        fetched.read = parsing_pool.read(
            [
                ParseJob(each.raw, each.meta.size, self.account_id, connection.vendor, each.path)
                for each in fetched.messages
            ]
        )
        return fetched

    def _bodies(self, metas: Sequence[MessageMeta], failures: dict[int, str]) -> Iterator[FetchedMessage]:
        small = [meta for meta in metas if meta.size <= self.limit]
        try:
            yield from list(self.imap.fetch_messages(small))
        except MailError as error:  # some servers refuse the whole command because of one bad message
            if not is_refusal(error):
                raise
            yield from self._one_by_one(small, lambda meta: list(self.imap.fetch_messages([meta])), failures)
        large = [meta for meta in metas if meta.size > self.limit]
        yield from self._one_by_one(large, lambda meta: [self.imap.fetch_header(meta)], failures)

    def _one_by_one(
        self, metas: Sequence[MessageMeta], fetch: FetchOne, failures: dict[int, str]
    ) -> Iterator[FetchedMessage]:
        """Fetch message by message; refused messages go into `failures`.

        A refusal that asks to wait is raised, unless the server gives another message: then it is about this one.
        """
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

    def gives_another(self, uid: int = 0, others: Sequence[MessageMeta] = ()) -> bool:
        """Whether the server gives another message now, so that a failure is about this one and not about the account.

        Tries the smallest of `others`, then `stored` if the server still lists it. True as well when there is no other
        message to try.
        """
        tried = sorted((meta for meta in others if meta.uid != uid), key=lambda meta: meta.size)[:MOST_PROBED]
        if self.stored and self.stored.uid != uid and self.imap.search_uids(self.stored.uid, self.stored.uid):
            tried.append(self.stored)
        for meta in tried:
            try:
                if list(self.imap.fetch_messages([meta])):
                    return True
            except MailError as error:
                if not is_refusal(error):
                    raise
        return not tried

    def _look_for_missing(self, fetched: Batch) -> None:
        """Note as failures the UIDs that FETCH did not answer and SEARCH still finds; the others were expunged."""
        got = {each.meta.uid for each in fetched.messages}
        missing = [uid for uid in fetched.uids if uid not in got and uid not in fetched.failures]
        if missing:
            there = set(self.imap.search_uids(min(missing), max(missing))) & set(missing)
            # Some servers say OK and give nothing when they limit us: then this is not about one message.
            if there and not got and not self.gives_another():
                raise ProviderError(NOTHING_GIVEN)
            fetched.failures.update({uid: NOT_GIVEN for uid in missing if uid in there})


def metas_in_range(imap: ImapSession, low: int, high: int) -> dict[int, MessageMeta]:
    """UID -> flags, date and size of the messages from low to high, ascending; by one FETCH where the server allows."""
    try:
        return imap.fetch_range(low, high)
    except MailError as error:
        if not is_refusal(error):
            raise
    return imap.fetch_meta(imap.search_uids(low, high))


@dataclass
class Prefetcher:
    """Takes the UIDs of a walk batch by batch.

    uids: in the walk's order. metas: UID -> flags, date and size, as far as the server was asked. waiting: the next
    UIDs, read from `uids`.
    """

    source: MessageSource
    uids: Iterator[int]
    budget: MessageBudget
    metas: dict[int, MessageMeta | None] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)

    def first(self) -> int | None:
        """The UID that the next batch begins with; None when the walk or the budget has ended.

        Reads one UID more than the budget allows, to know whether any is left after it. Raises MailError.
        """
        wanted = min(self.budget.left, META_COUNT) + 1
        self.waiting.extend(islice(self.uids, max(wanted - len(self.waiting), 0)))
        return self.waiting[0] if self.waiting and self.budget.left > 0 else None

    def bring(self, *, count: int = BATCH_COUNT, asked: int = META_COUNT) -> Batch:
        """Fetch the next batch, of at most `count` messages and BATCH_BYTES; a larger message is alone in its batch.

        asked: how many messages one command asks flags, date and size of.
        Raises MailError; then the same batch is still the next.
        """
        allowed = list(islice(self.waiting, self.budget.left))
        if allowed[0] not in self.metas:
            some = allowed[:asked]
            self.metas.update(dict.fromkeys(some))
            self.metas.update(self.source.imap.fetch_meta(some))
        known = list(takewhile(self.metas.__contains__, allowed[:count]))
        bytes_up_to = accumulate(map(self._wire_size, known))
        chosen = [uid for uid, total in zip(known, bytes_up_to, strict=True) if total <= BATCH_BYTES] or known[:1]
        fetched = self.source.bring(chosen, self.metas)
        self._take(len(chosen))
        return fetched

    def skip(self, reason: str) -> Batch:
        """Do not fetch the next message: return it as a failure with this reason."""
        uid = self.waiting[0]
        self._take(1)
        return Batch([uid], failures={uid: reason})

    def _take(self, count: int) -> None:
        for _ in range(count):
            self.metas.pop(self.waiting.popleft(), None)
        self.budget.left -= count

    def _wire_size(self, uid: int) -> int:
        """The bytes that fetching this message takes; 0 for one above the limit, of which only the header comes."""
        meta = self.metas.get(uid)
        return 0 if meta is None or meta.size > self.source.limit else meta.size or UNSTATED_BYTES
