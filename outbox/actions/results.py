"""The results of a bulk action in words: rows done and skipped, and the outcomes of mails handed to the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, F, Q
from django.utils.translation import gettext, ngettext

from mailbox.localized import grouped, listed_apart
from outbox.actions.estimate import CHANGED
from outbox.models import Operation, OutboxMessage

Verb, Status, Hold = Operation.Verb, OutboxMessage.Status, OutboxMessage.Hold


HANDED_OVER = (Verb.RETRY, Verb.SEND_NOW, Verb.SEND_AGAIN)  # a worker then sends the mail; "done" is not yet "sent"
FOLLOWED_AT_MOST = 10_000  # mails of one operation whose outcomes its page counts


def untouched(operation: Operation) -> int:
    """How many of the counted rows were not reached. Before the end they are still to do; after it, they no longer
    match."""
    known = sum(number for reason, number in operation.skipped.items() if reason != CHANGED)
    left: int = operation.total - operation.done - known
    return max(0, left)


def changed(operation: Operation) -> int:
    """How many rows changed after the person was asked: they no longer match, or match only since then."""
    joined: int = operation.skipped.get(CHANGED, 0)
    return max(untouched(operation), joined)


def done_words(verb: str, number: int) -> str:
    """The number of rows done in words, as in "212 cancelled"."""
    words = {
        Verb.RETRY.value: ngettext(
            "%(number)s handed to a worker to be retried", "%(number)s handed to a worker to be retried", number
        ),
        Verb.SEND_NOW.value: ngettext(
            "%(number)s handed to a worker to be sent now", "%(number)s handed to a worker to be sent now", number
        ),
        Verb.SEND_AGAIN.value: ngettext(
            "%(number)s handed to a worker to be sent again", "%(number)s handed to a worker to be sent again", number
        ),
        Verb.CANCEL.value: ngettext("%(number)s cancelled", "%(number)s cancelled", number),
        Verb.MARK.value: ngettext("%(number)s marked as sent", "%(number)s marked as sent", number),
    }
    return words[verb] % {"number": grouped(number)}


def counts_in_words(verb: str, number: int, skipped: Mapping[str, int]) -> str:
    """The numbers of rows done and skipped, as in "212 cancelled, 3 skipped: 3 because: it changed meanwhile." """
    if not skipped:
        return gettext("%(done)s.") % {"done": done_words(verb, number)}
    reasons = listed_apart(
        gettext("%(number)s because: %(reason)s") % {"number": grouped(count), "reason": gettext(reason)}
        for reason, count in by_number(skipped)
    )
    number_skipped = sum(skipped.values())
    return ngettext(
        "%(done)s, %(number)s skipped: %(reasons)s.", "%(done)s, %(number)s skipped: %(reasons)s.", number_skipped
    ) % {"done": done_words(verb, number), "number": grouped(number_skipped), "reasons": reasons}


def result_in_words(operation: Operation) -> str:
    """The result of an operation: counts_in_words(), and how many rows were not reached or had changed."""
    skipped = {reason: number for reason, number in operation.skipped.items() if reason != CHANGED}
    text = counts_in_words(operation.verb, operation.done, skipped)
    if operation.stopped_at:
        left = untouched(operation)
        said = ngettext("%(number)s was left as it is.", "%(number)s were left as they are.", left)
    else:
        left = changed(operation)
        said = ngettext(
            "%(number)s changed meanwhile and was left alone.",
            "%(number)s changed meanwhile and were left alone.",
            left,
        )
    text += f" {said % {'number': grouped(left)}}" if left else ""
    if operation.finished_at and operation.done != operation.expected:
        text += " " + gettext("The page had said %(number)s.") % {"number": grouped(operation.expected)}
    return text


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of the mails that an operation handed to the workers, as numbers."""

    sent: int
    failed: int
    uncertain: int
    cancelled: int
    waiting: int  # for a worker, or being sent

    @property
    def words(self) -> str:
        """The numbers in words, as in "2 tried: 0 sent, 2 failed again. 1 waits for a worker." """
        tried = self.sent + self.failed + self.uncertain
        said = gettext("%(tried)s tried: %(sent)s sent, %(failed)s failed again.") % {
            "tried": grouped(tried),
            "sent": grouped(self.sent),
            "failed": grouped(self.failed),
        }
        more = (
            (self.uncertain, ngettext("%(number)s needs a decision.", "%(number)s need a decision.", self.uncertain)),
            (self.waiting, ngettext("%(number)s waits for a worker.", "%(number)s wait for a worker.", self.waiting)),
            (self.cancelled, ngettext("%(number)s was cancelled.", "%(number)s were cancelled.", self.cancelled)),
        )
        return " ".join([said, *(words % {"number": grouped(number)} for number, words in more if number)])


def outcomes_of(operation: Operation) -> Outcomes | None:
    """The outcomes of an operation, by one query; None if it handed over no mail, or more than FOLLOWED_AT_MOST."""
    if operation.verb not in HANDED_OVER or not 0 < operation.done <= FOLLOWED_AT_MOST:
        return None
    is_sent, is_over = Q(outbox__status=Status.SENT), Q(outbox__status=Status.CANCELLED)
    tried = Q(outbox__status=Status.FAILED, outbox__last_attempt__gte=F("attempt"))
    uncertain = tried & Q(outbox__hold=Hold.UNCERTAIN)
    found = operation.rows.aggregate(
        total=Count("pk"),
        sent=Count("pk", filter=is_sent),
        cancelled=Count("pk", filter=is_over),
        uncertain=Count("pk", filter=uncertain),
        tried=Count("pk", filter=tried),
    )
    failed = found["tried"] - found["uncertain"]
    waiting = found["total"] - found["sent"] - found["cancelled"] - found["tried"]
    return Outcomes(found["sent"], failed, found["uncertain"], found["cancelled"], waiting)


def by_number(skipped: Mapping[str, int]) -> list[tuple[str, int]]:
    """(reason, number of rows), the largest number first, then by the reason's English text."""
    return sorted(skipped.items(), key=lambda each: (-each[1], each[0]))
