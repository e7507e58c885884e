"""What came of an action on many rows, in words: done, skipped and why, and what the handed-over mails then did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, F, Q
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from outbox.actions.estimate import CHANGED
from outbox.models import Operation, OutboxMessage

Verb, Status, Hold = Operation.Verb, OutboxMessage.Status, OutboxMessage.Hold


HANDED_OVER = (Verb.RETRY, Verb.SEND_NOW, Verb.SEND_AGAIN)  # what a worker then tries: done is not yet sent
FOLLOWED_AT_MOST = 10_000  # mails of one operation whose outcomes its page counts


def untouched(operation: Operation) -> int:
    """Rows of the page's number that were not come to: they no longer match. Before its end: they are still to do."""
    known = sum(number for reason, number in operation.skipped.items() if reason != CHANGED)
    left: int = operation.total - operation.done - known
    return max(0, left)


def changed(operation: Operation) -> int:
    """Rows that are other than when the person was asked: they match no longer, or match only since."""
    joined: int = operation.skipped.get(CHANGED, 0)
    return max(untouched(operation), joined)


def done_words(verb: str, number: int) -> str:
    """ "212 retried", of the verb of a click on many rows."""
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


def honest(verb: str, number: int, skipped: Mapping[str, int]) -> str:
    """ "212 retried, 3 skipped: 3 because: it changed meanwhile." """
    if not skipped:
        return f"{done_words(verb, number)}."
    reasons = "; ".join(
        gettext("%(number)s because: %(reason)s") % {"number": grouped(count), "reason": gettext(reason)}
        for reason, count in by_number(skipped)
    )
    number_skipped = sum(skipped.values())
    return ngettext(
        "%(done)s, %(number)s skipped: %(reasons)s.", "%(done)s, %(number)s skipped: %(reasons)s.", number_skipped
    ) % {"done": done_words(verb, number), "number": grouped(number_skipped), "reasons": reasons}


def result_of(operation: Operation) -> str:
    """As `honest`, and how many rows were not reached or had changed."""
    skipped = {reason: number for reason, number in operation.skipped.items() if reason != CHANGED}
    text = honest(operation.verb, operation.done, skipped)
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
    """What came of the mails that an operation handed to the workers."""

    sent: int
    failed: int
    uncertain: int
    cancelled: int
    waiting: int  # for a worker, or being sent

    @property
    def words(self) -> str:
        """ "2 tried: 0 sent, 2 failed again. 1 waits for a worker." """
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
    """None where nothing was handed over, or too much to count. One query."""
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


def grouped(number: int) -> str:
    return number_format(number, force_grouping=True)


def by_number(skipped: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(skipped.items(), key=lambda each: (-each[1], each[0]))
