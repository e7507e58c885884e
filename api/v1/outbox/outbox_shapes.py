"""Schemas of requests and responses about the outbox."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field

from api.v1.protocol.answers import Asked, Number, Text, Time, columns
from mailbox.views.requests import Refused
from outbox.actions import results
from outbox.actions.estimate import BulkEstimate
from outbox.actions.filters import NoSuchFilter, OutboxFilters
from outbox.bounces.matching import MOST_SHOWN
from outbox.compose.addresses import MAX_RECIPIENTS
from outbox.models import DeliveryAttempt, DeliveryReport, Operation, OutboxAttachment, OutboxMessage, OutboxRecipient


class OutboxHead(Schema):
    """A written mail in a list. `hold`: why a failed one waits for a person, or empty. `last_attempt`: 0 before
    the first."""

    id: int
    account_id: int
    to: str
    cc: str
    bcc: str
    header_from: str = Field(description="From, where that is not the account's own name and address.")
    subject: str
    status: str
    hold: str
    retries: int
    last_attempt: int
    next_attempt_at: datetime
    next_attempt_at_unix: int
    send_at: datetime | None
    provider_message_id: str | None
    error_code: str
    error: str
    created_at: datetime
    sent_at: datetime | None

    @classmethod
    def of(cls, row: OutboxMessage) -> OutboxHead:
        return cls(**columns(cls, row), next_attempt_at_unix=int(row.next_attempt_at.timestamp()))


class RecipientState(Schema):
    """A recipient, with the server's last reply for it. `kind`: to, cc or bcc."""

    kind: str
    address: str
    status: str
    reply_code: int | None
    reply: str


class AttemptState(Schema):
    """One attempt. `outcome`: empty while it runs."""

    number: int
    message_id: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    reply: str


class ReportState(Schema):
    """What a server or a recipient reported about a mail after it was accepted."""

    id: int
    address: str
    action: str
    status_code: str
    words: str
    is_proven: bool
    reported_at: datetime
    acknowledged_at: datetime | None


class OutboxWhole(OutboxHead):
    """A written mail with its texts, recipients, attempts and what was reported about it."""

    undo_until: datetime | None
    body_text: str
    body_html: str
    recipients: list[RecipientState]
    attempts: list[AttemptState]
    attachments: list[OutboxFile]
    reports: list[ReportState] = Field(description="The newest 50.")

    @classmethod
    def of(cls, row: OutboxMessage) -> OutboxWhole:
        recipients: list[OutboxRecipient] = list(row.recipients.order_by("pk"))
        attempts: list[DeliveryAttempt] = list(row.attempts.order_by("number"))
        files: list[OutboxAttachment] = list(row.attachment_rows.order_by("position"))
        reports: list[DeliveryReport] = list(row.reports.order_by("-is_proven", "-pk")[:MOST_SHOWN])
        return cls(
            **columns(cls, row),
            next_attempt_at_unix=int(row.next_attempt_at.timestamp()),
            recipients=[RecipientState(**columns(RecipientState, each)) for each in recipients],
            attempts=[AttemptState(**columns(AttemptState, each)) for each in attempts],
            attachments=[OutboxFile(**columns(OutboxFile, each)) for each in files],
            reports=[ReportState(**columns(ReportState, each)) for each in reports],
        )


class OutboxFile(Schema):
    """An attachment of a written mail. `size` is in bytes."""

    position: int
    filename: str
    content_type: str
    size: int


class Retry(Asked):
    """How to retry."""

    now_anyway: bool = Field(False, description="Also before its next attempt is due; recorded.")


class Decision(Asked):
    """A decision about an uncertain mail."""

    attempt: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        description="The number of the attempt that is decided about; refused when a later one was made."
    )


class Corrections(Decision):
    """Corrected addresses of a mail that its server refused for good."""

    addresses: dict[str, Annotated[str, Field(max_length=320)]] = Field(
        min_length=1,
        max_length=MAX_RECIPIENTS,
        description="The address to write to in place of each that was refused; empty: nobody.",
    )


class OutboxFilter(Asked):
    """The filters of the outbox page; empty ones match everything."""

    state: str = ""
    account: Number | None = None
    reason: str = ""
    q: str = ""
    mark: str = ""
    error: str = ""
    code: str = ""
    domain: str = ""
    age: str = ""
    said: str = Field(default="", description="A part of what the server said of a mail that failed.")
    sent_on: date | None = Field(default=None, description="In the time zone of the token's user.")

    def filters(self, among: Collection[int] | None) -> OutboxFilters:
        """The filters as for the page. Raises Refused. among: pks of the only accounts, None for all."""
        given = {name: str(value) for name, value in self.model_dump().items() if value}
        try:
            found = OutboxFilters.of(given)
        except NoSuchFilter as error:
            raise Refused(str(error)) from error
        return found if among is None else replace(found, among=tuple(sorted(among)) or (0,))


class Reschedule(Asked):
    """Another send time; one in the past means now."""

    send_at: Time


class SeenReports(Asked):
    """Up to which report a person or program has seen what was reported of the mail."""

    last_report: Number = Field(description="The id of the newest report that was seen.")


class Bulk(Asked):
    """One action on all mails that match the filter."""

    action: Operation.Verb
    filter: OutboxFilter = Field(default_factory=OutboxFilter)
    dry_run: bool = Field(default=False, description="Only say what would be done.")
    question: Text = Field(default="", description="That of a dry run: then no more is done than it said.")


class Skipped(Schema):
    """A reason for which mails are skipped, as a sentence, and how many of them."""

    reason: str
    number: int

    @classmethod
    def all_of(cls, skipped: Mapping[str, int]) -> list[Skipped]:
        """The reasons with their numbers, the most frequent first."""
        return [cls(reason=reason, number=number) for reason, number in results.by_number(skipped)]


class Estimated(Schema):
    """What a bulk action would do; nothing was done."""

    will: int
    total: int
    skipped: list[Skipped]
    question: str = Field(description="Send it with the action itself, within a day.")

    @classmethod
    def of(cls, found: BulkEstimate, question: str) -> Estimated:
        return cls(will=found.will, total=found.total, skipped=Skipped.all_of(found.skipped), question=question)


class Outcomes(Schema):
    """The outcomes of the mails that were handed to the workers, as numbers."""

    sent: int
    failed: int
    uncertain: int
    cancelled: int
    waiting: int


class OperationState(Schema):
    """A bulk action and how far it is. `expected`: how many mails the question said; `done`: how many were changed."""

    id: int
    action: str
    asked_at: datetime
    finished_at: datetime | None
    stopped_at: datetime | None
    total: int
    expected: int
    done: int
    skipped: list[Skipped]
    result: str = Field(description="In words.")
    outcomes: Outcomes | None = Field(description="null where nothing was handed to workers.")

    @classmethod
    def of(cls, row: Operation) -> OperationState:
        found = results.outcomes_of(row)
        known = columns(cls, row) | {"skipped": Skipped.all_of(row.skipped), "action": row.verb}
        outcomes = Outcomes(**asdict(found)) if found else None
        return cls(**known, result=results.result_in_words(row), outcomes=outcomes)
