"""Drafts as requests and responses have them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field

from api.v1.protocol.answers import Asked, File, Number, Text, Time, columns
from outbox.compose.drafts import LONGEST
from outbox.models import Draft, DraftFile

# Longer texts are refused: a draft's row would have their beginning alone, and so would the mail.
Addresses = Annotated[Text, Field(max_length=LONGEST["to"])]


class DraftContents(Asked):
    """A draft as it is to be, valid or not. Addresses are written as in the form, separated by commas."""

    account_id: Number | None = Field(None, description="null: not chosen yet; only for tokens of all accounts.")
    sender: Text = Field("", alias="from", description="One of the account's addresses; empty: its own.")
    to: Addresses = ""
    cc: Addresses = ""
    bcc: Addresses = ""
    subject: Annotated[Text, Field(max_length=LONGEST["subject"])] = ""
    body_text: Annotated[Text, Field(max_length=LONGEST["body_text"])] = ""
    text_format: Literal["", "markdown", "html"] = Field("", description="Of `body_text`; empty: plain text.")
    send_at: Time | None = Field(None, description="To the minute; a time in the past means now.")
    attachments: list[File] = Field([], description="Files to add.")


class NewDraft(DraftContents):
    """A new draft. `reply_to`: the id of the message of its account that it answers."""

    reply_to: Number | None = None


class ChangedDraft(DraftContents):
    """A draft as it is to be. Absent texts become empty; files stay."""

    keep: list[Number] | None = Field(None, description="The ids of its files that the mail is to have; null: as now.")


class DraftSending(Asked):
    """How to send a draft."""

    send_suppressed: bool = Field(False, description="Also to addresses that bounced for good or complained; recorded.")
    even_if_empty: bool = Field(False, description="Also without a text.")


class DraftFileState(Schema):
    """A file of a draft. `size` is in bytes. `is_kept`: the mail has it."""

    id: int
    filename: str
    content_type: str
    size: int
    is_kept: bool

    @classmethod
    def of(cls, row: DraftFile, kept: list[str] | None) -> DraftFileState:
        return cls(**columns(cls, row), is_kept=kept is None or row.form_key in kept)


class DraftHead(Schema):
    """A draft in a list: without its text, which may have two million characters. `send_at`: in the time zone of its
    writer, empty: at once."""

    id: int
    version: int
    account_id: int | None
    sender: str = Field(description="The further address of the account in From, or empty.")
    to: str
    cc: str
    bcc: str
    subject: str
    text_format: str
    send_at: str
    start: str = Field(
        description="What it continues: reply_to=7, reply_all=7, forward=7 (messages), again=7 (outbox)."
    )
    files: list[DraftFileState]
    refused: list[str] = Field(description="Files that the policy refused, which its writer has not left out yet.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def fields(cls, row: Draft) -> dict[str, Any]:
        """The values of a row."""
        files = [DraftFileState.of(each, row.kept) for each in row.files.all()]
        sender, refused = row.alias.email if row.alias else "", [each.partition("\t")[0] for each in row.refused]
        return columns(cls, row) | {"files": files, "sender": sender, "refused": refused}


class DraftState(DraftHead):
    """A draft, as it was typed."""

    body_text: str

    @classmethod
    def of(cls, row: Draft) -> DraftState:
        return cls(**cls.fields(row))
