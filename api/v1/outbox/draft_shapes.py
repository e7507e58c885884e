"""Drafts as requests and responses have them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from ninja import Schema
from pydantic import Field

from api.v1.protocol.answers import Asked, File, Number, Text, Time, columns
from outbox.models import Draft, DraftFile


class DraftContents(Asked):
    """A draft as it is to be, valid or not. Addresses are written as in the form, separated by commas."""

    account_id: Number | None = Field(None, description="null: not chosen yet; only for tokens of all accounts.")
    sender: Text = Field("", alias="from", description="One of the account's addresses; empty: its own.")
    to: Text = ""
    cc: Text = ""
    bcc: Text = ""
    subject: Text = ""
    body_text: Text = ""
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


class DraftState(Schema):
    """A draft, as it was typed. `send_at`: in the time zone of its writer, empty: at once."""

    id: int
    version: int
    account_id: int | None
    sender: str = Field(description="The further address of the account in From, or empty.")
    to: str
    cc: str
    bcc: str
    subject: str
    body_text: str
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
    def of(cls, row: Draft) -> DraftState:
        files = [DraftFileState.of(each, row.kept) for each in row.files.all()]
        own = columns(cls, row) | {"refused": [each.partition("\t")[0] for each in row.refused]}
        return cls(**own, sender=row.alias.email if row.alias else "", files=files)
