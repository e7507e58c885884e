"""Computes from a raw message its parsed form, its digests and its words for the search index. Pure, without Django.

It runs in a parser process (mailbox.parsing.parser).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from mailbox.mime import message as mime_message
from mailbox.mime.message import ParsedAttachment, ParsedMessage
from mailbox.search import index_terms

_MESSAGE_FIELDS = [field.name for field in fields(ParsedMessage) if field.name != "attachments"]
_of_message = attrgetter(*_MESSAGE_FIELDS)
_of_attachment = attrgetter(*(field.name for field in fields(ParsedAttachment)))


@dataclass(frozen=True, slots=True)
class ParseJob:
    """A message to read. `size`: RFC822.SIZE as the server states it, 0 when it states none.

    `path`: the file that `raw` is memory-mapped from, if any; the parser process maps it too instead of getting a copy.
    `reader`: "MODULE:FUNCTION", which the parser process calls with the job. It must be importable without Django and
    return an object that can be pickled and is not a str (a str means failure).
    """

    raw: bytes
    size: int
    account_id: int
    vendor: str  # of the database: "sqlite" or "postgresql"
    path: str = ""
    reader: str = "mailbox.parsing.parse_job:read"


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What a parser process computes of one raw message."""

    parsed: ParsedMessage
    digest: str  # SHA-256 of the raw bytes, hex
    header_digest: str
    index_text: str

    def packed(self) -> tuple[Any, ...]:
        """The result as plain tuples: pickling and unpickling them takes a third of the time of the dataclasses."""
        attachments = [_of_attachment(attachment) for attachment in self.parsed.attachments]
        return (_of_message(self.parsed), attachments, self.digest, self.header_digest, self.index_text)

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...]) -> ParseResult:
        """The result from what `packed` returned."""
        message, attachments, digest, header_digest, index_text = packed
        named = dict(zip(_MESSAGE_FIELDS, message, strict=True))
        parsed = ParsedMessage(**named, attachments=tuple(ParsedAttachment(*each) for each in attachments))
        return cls(parsed, digest, header_digest, index_text)


def read(job: ParseJob) -> ParseResult:
    """Parse the message and compute its digests and index words.

    mime.message.parse() should raise nothing; an exception of it is a bug and passes through.
    """
    raw = job.raw
    parsed = mime_message.parse(raw)
    found = index_terms.words_of(
        parsed,
        account_id=job.account_id,
        size=job.size or len(raw),
        has_attachments=any(not attachment.is_inline for attachment in parsed.attachments),
        filenames=[attachment.filename for attachment in parsed.attachments],
    )
    return ParseResult(
        parsed=parsed,
        digest=hashlib.sha256(raw).hexdigest(),
        header_digest=hashlib.sha256(header_of(raw)).hexdigest(),
        index_text=index_terms.text_for(job.vendor, found),
    )


def header_of(raw: bytes) -> bytes:
    """The header with the empty line that ends it, as BODY[HEADER] returns it (RFC 3501, 6.4.5)."""
    end = raw.find(b"\r\n\r\n")
    end = end + 4 if end >= 0 else len(raw)
    bare = raw.find(b"\n\n", 0, end)  # searched up to the CRLF one only: a search of the whole body is slow
    return raw[: bare + 2] if bare >= 0 else raw[:end]
