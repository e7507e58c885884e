"""Schemas of requests and responses. Every response has `ok`, `data` and `error`; times are RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from django.db.models import Model
from ninja import Schema
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from mailbox.models import Message
from outbox.answers import SendResult

RECIPIENTS_IN_LISTS = 10_000  # characters of To and of Cc
T = TypeVar("T")
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]  # a primary key
Position = Annotated[int, Field(ge=0, le=2**31 - 1)]
Limit = Annotated[int, Field(ge=1, le=500)]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL is no character of a mail")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]


def _in_utc(at: datetime) -> datetime:
    """PostgreSQL refuses offsets of 16 hours and more, which RFC 3339 allows."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is before the year 1 or after the year 9999 in UTC") from None


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Asked(BaseModel):
    """The body or the filters of a request. Unknown members are refused, as a misspelt filter would match all rows.

    Not a ninja.Schema: that accepts a value that is no object as one without members.
    """

    model_config = ConfigDict(extra="forbid")


class Failure(Schema):
    """`code` is for programs, `message` is a sentence for a person."""

    code: str
    message: str


class Answer(Schema, Generic[T]):
    """A success; a failure is a Problem."""

    ok: Literal[True] = True
    data: T
    error: None = None


class Problem(Schema):
    """A failure: the members of RFC 9457, and those of every response."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    ok: Literal[False] = False
    data: SendState | None = None
    error: Failure


class Page(Schema, Generic[T]):
    """`next` is the `before` of the following page; null at the end."""

    items: list[T]
    next: str | None


class MessageHead(Schema):
    """A received message in a list. `received_at`: when the server took it in; `date`: its own header. `size` is
    in bytes."""

    id: int
    account_id: int
    message_id: str
    subject: str
    sender: str
    recipients: str
    cc: str
    date: datetime | None
    received_at: datetime
    snippet: str
    size: int
    seen: bool
    flagged: bool
    answered: bool
    has_attachments: bool
    is_complete: bool
    recipients_are_cut: bool = Field(
        False,
        description="In a list `recipients` and `cc` hold 10,000 characters each at most: there are more. "
        "`/messages/{id}` has all.",
    )
    conversation_size: int | None = Field(None, description="The mails of its conversation, where the list is by that.")

    @classmethod
    def of(cls, row: Message) -> MessageHead:
        of_list = {
            name: getattr(row, name) for name in ("recipients_are_cut", "conversation_size") if hasattr(row, name)
        }
        return cls(**columns(cls, row), **of_list)


class AttachmentState(BaseModel):  # no Schema of ninja's, which reads each twice: a mail may have 10,000
    """An attachment of a received message. `size` is in bytes. `is_inline`: the HTML can show it."""

    position: int
    filename: str
    content_type: str
    size: int
    is_inline: bool


class MessageWhole(MessageHead):
    """A received message with its texts."""

    in_reply_to: str
    reply_to: str
    body_text: str
    body_html: str = Field(description="As it came: untrusted HTML.")
    texts_are_cut: bool = Field(
        description="`body_text` or `body_html` is only the beginning: each holds two million characters at most. "
        "`/messages/{id}/source` has the whole."
    )
    attachments: list[AttachmentState]

    @classmethod
    def of(cls, row: Message) -> MessageWhole:
        there = row.attachment_rows.filter(removed_at=None).order_by("position").values(*AttachmentState.model_fields)
        attachments = [AttachmentState.model_construct(**each) for each in there]
        return cls(**columns(cls, row), texts_are_cut="BodyCut" in row.parse_defects, attachments=attachments)


class SendState(Schema):
    """The state of a mail in the outbox. `next_attempt_at`: null unless workers will try it by themselves."""

    outbox_id: int
    status: str
    retries: int
    provider_message_id: str | None
    next_attempt_at: datetime | None
    next_attempt_at_unix: int | None = Field(description="The same in Unix seconds.")

    @classmethod
    def of(cls, result: SendResult) -> SendState:
        at = result.next_attempt_at
        return cls(
            outbox_id=result.outbox_id,
            status=result.status,
            retries=result.retries,
            provider_message_id=result.provider_message_id,
            next_attempt_at=at,
            next_attempt_at_unix=int(at.timestamp()) if at else None,
        )


class File(Asked):
    """A file to attach. Without `content_type`, the name decides."""

    filename: Text
    content_type: Text = ""
    base64: str


class Writing(Asked):
    """The fields that new mails and replies share. `send_at`: not before this time."""

    account_id: Number
    sender: Text = Field("", alias="from", description="One of the account's addresses; empty: its own.")
    body_text: Text
    body_html: Text = ""
    cc: list[Text] = []
    bcc: list[Text] = []
    attachments: list[File] = []
    send_at: Time | None = None
    send_suppressed: bool = Field(False, description="Also to addresses that bounced for good or complained; recorded.")


class Mail(Writing):
    """A mail to send. Addresses may have display names."""

    to: list[Text]
    subject: Text


class WholeMail(Asked):
    """A finished mail with its envelope (RFC 5321)."""

    mail_from: Text = Field(description="An address of the account; From must be one, too.")
    rcpt_to: Annotated[list[Text], Field(min_length=1, max_length=100)] = Field(description="Who gets it.")
    base64: str = Field(description="The mail (RFC 5322) in base64.")


class Reply(Writing):
    """A reply. Without `subject`, that of the message with "Re: "."""

    message: Number = Field(description="The id of the message that is answered.")
    to: list[Text] = Field([], description="Empty: whom the message asks to answer to.")
    subject: Text = ""


def columns(schema: type[Schema], row: Model) -> dict[str, Any]:
    """The values of the schema's fields that are columns of the row."""
    own = {field.name for field in row._meta.concrete_fields} | {"account_id"}
    return {
        name: row.pk if name == "id" else getattr(row, name)
        for name in schema.model_fields
        if name in own and name != "attachments"
    }


Problem.model_rebuild()
