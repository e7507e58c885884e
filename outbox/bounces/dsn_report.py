"""Reads a received mail as a delivery report or complaint. Pure: bytes in, a ParsedReport or None out.

RFC 3464 (message/delivery-status), RFC 6533 (message/global-delivery-status), RFC 5965 (message/feedback-report), and
reports that are only text (see free_text). Automatic replies (RFC 3834), vacation notices and read receipts are no
reports. It runs in a parser process, so nothing here imports Django.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from mailbox.mime import addresses, charsets, tree
from mailbox.mime.body_parts import stated_filename
from mailbox.mime.part import Part
from mailbox.parsing.parse_job import ParseJob
from outbox.bounces import free_text
from outbox.bounces.report import (
    ACTIONS,
    COMPLAINT,
    MAX_ADDRESS,
    MAX_RECIPIENTS,
    ParsedReport,
    RecipientReport,
    Stamps,
    clean,
    status_code,
)

READER = f"{__name__}:read_job"  # the function that a parser process calls
MAX_BYTES = 2 * 1024 * 1024  # the report comes first, so only the end of the returned mail is cut off
MAX_PARTS = 50
STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_STATUS_TYPES = (*STATUS_TYPES, "text/delivery-status", "application/delivery-status")  # some gateways use these
FEEDBACK_TYPE = "message/feedback-report"
# Of mail with one of these, the text says nothing of a failed delivery: complaints are read before; what is left are
# receipts (RFC 8098), praise (not-spam) and reports on signatures.
_RECEIPT_TYPES = ("message/disposition-notification", "message/global-disposition-notification", FEEDBACK_TYPE)
# RFC 6522 4 and RFC 6533, and what gateways call it.
HEADER_TYPES = ("text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers")
MAIL_TYPES = ("message/rfc822", "message/global")
# Feedback types that are complaints (RFC 5965 7.3, RFC 6430). Not not-spam (the mail is wanted) and auth-failure (a
# report on its signatures).
_COMPLAINTS = ("abuse", "fraud", "virus", "opt-out", "other", "miscategorized")
# The address type before an address (RFC 3464 2.1.2), also with a blank or a colon in it.
_ADDRESS_TYPE = re.compile(r"\A(?:[A-Za-z][A-Za-z0-9-]{0,20} ?;|rfc ?822 ?:)", re.I)
_ESCAPED = re.compile(r"\\x\{(10[0-9A-Fa-f]{4}|[0-9A-Fa-f]{2,5})\}")  # RFC 6533, 3: utf-8-addr-xtext
_XTEXT = re.compile(r"\+([2-7][0-9A-F])")  # RFC 3461 4: as ORCPT was written; some servers copy it undecoded
_FAILED_BY_OTHER_WORDS = (
    *("expired", "failure", "fail", "bounced", "bounce", "hard", "rejected", "refused", "undeliverable", "undelivered"),
    *("permanent-failure", "permanent", "dropped", "returned", "blocked"),
)
_DELAYED_BY_OTHER_WORDS = ("delay", "deferred", "transient", "temporary", "queued", "retrying")
_COMMENT = re.compile(r"\([^()]*+\)")
_INDENT = re.compile(rb"^[ \t]+", re.M)
_SPACED_COLON = re.compile(rb"^([A-Za-z][A-Za-z-]{1,40}+)[ \t]++:", re.M)
_ACTION_WORD = re.compile(r"[a-z]+(?:-[a-z]+|(?!))*+")
_ANY_TYPES = ("application/octet-stream", "text/plain")
_MAX_FIELD = 1000  # characters
_MAX_LOOKED_AT = 100_000  # octets of a part with another media type that may be the returned mail
_GROUP_END = re.compile(rb"\r?\n[ \t\r]*+\n")


def read_job(job: ParseJob) -> ParsedReport | None:
    """read() for the parser processes, in which a mail is read that may be hostile."""
    return read(bytes(job.raw[:MAX_BYTES]))


def read(raw: bytes) -> ParsedReport | None:
    """Read a mail as a report; returns None if it is none. No bytes make it raise."""
    root = tree.read_tree(raw[:MAX_BYTES])
    parts = list(islice(tree.leaves(root), MAX_PARTS))
    stamps = _stamps(parts)
    report = _rfc3464(parts, stamps) or _feedback(parts, stamps)
    return report or (None if _first(parts, _RECEIPT_TYPES) else free_text.read(root, parts, stamps))


def _first(parts: Sequence[Part], types: Sequence[str]) -> Part | None:
    return next((part for part in parts if part.content_type in types), None)


def _groups(part: Part) -> Iterator[Part]:
    """The groups of fields of a delivery-status part; decodes base64 too, although RFC 3464 2.1 forbids it."""
    content = part.octets()[0].strip(b"\r\n")
    for group in islice(_GROUP_END.split(content), MAX_RECIPIENTS + 1):
        if group.strip():
            group = group.lstrip(b"\r\n")
            group = _INDENT.sub(b"", group) if group[:1] in b" \t" else group
            yield tree.read_headers(_SPACED_COLON.sub(rb"\1:", group) + b"\r\n\r\n")


def _rfc3464(parts: Sequence[Part], stamps: Stamps) -> ParsedReport | None:
    status = _first(parts, _STATUS_TYPES) or next((part for part in parts if _is_named_status(part)), None)
    if status is None:
        return None
    groups = list(_groups(status))
    found = [each for group in groups if (each := _recipient(group))]
    if not found:
        return None
    reporter = next((_typed(field) for group in groups if (field := group.get("reporting-mta"))), "")
    envelope_id = next((field for group in groups if (field := group.get("original-envelope-id"))), "")
    return ParsedReport(stamps, clean(reporter, 200), tuple(found[:MAX_RECIPIENTS]), clean(envelope_id, 100))


def _is_named_status(part: Part) -> bool:
    """Whether a part is a delivery-status part by its file name: some servers send it as octet-stream or text."""
    name = stated_filename(part).lower()
    return part.content_type in _ANY_TYPES and name.startswith(("delivery-status", "delivery_status"))


def _recipient(group: Part) -> RecipientReport | None:
    final, original = (_address(group.get(name)) for name in ("final-recipient", "original-recipient"))
    action = _action(group.get("action"), group.get("status"))
    if not (final or original) or action not in ACTIONS:
        return None
    words = clean(_typed(group.get("diagnostic-code")))
    status = status_code(group.get("status")) or status_code(words)
    if "@" in final and "@" not in original:  # "unknown;unknown", an X.400 name
        original = final
    return RecipientReport(original or final, final or original, action, status, words)


def _address(field: str) -> str:
    """The address of a recipient field. Domino and others also write a path, a name, a comment or quotation marks."""
    text = _ADDRESS_TYPE.sub("", " ".join(field.split()), count=1).strip(" ;")
    text = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text)[:_MAX_FIELD]
    if "@" not in text:
        text = _XTEXT.sub(lambda code: chr(int(code[1], 16)), text)
    found = (each.address for each in addresses.read(text) if each.has_domain)
    return clean(next(found, text), MAX_ADDRESS)


def _action(stated: str, status: str) -> str:
    """The Action field as one of ACTIONS, or "". RFC 3464 2.3.3 allows a comment, as in `failed (bad mailbox)`.

    If the word is missing or unknown, the class of the status code decides.
    """
    found = _ACTION_WORD.search(_COMMENT.sub("", stated.lower()))
    action = found[0] if found else ""
    if action in ACTIONS:
        return action
    if action in _FAILED_BY_OTHER_WORDS:
        return "failed"
    if action in _DELAYED_BY_OTHER_WORDS:
        return "delayed"
    return {"5": "failed", "4": "delayed"}.get(status.strip()[:1], "")


def _typed(value: str) -> str:
    """The value of a typed field: "rfc822; ann@example.com" -> "ann@example.com" (RFC 3464 2.1.2)."""
    text = " ".join(value.split())
    kind, separator, rest = text.partition(";")
    return rest.strip() if separator and " " not in kind.strip() else text


def _feedback(parts: Sequence[Part], stamps: Stamps) -> ParsedReport | None:
    """Read a complaint (RFC 5965). Some providers hide the recipient: they leave Original-Rcpt-To out.

    Then the report applies to the mail's recipient if it had only one (`is_in_free_text`).
    """
    part = _first(parts, (FEEDBACK_TYPE,))
    if part is None:
        return None
    fields = next(_groups(part), part)
    kind = clean(fields.get("feedback-type"), 40).lower()
    if kind not in _COMPLAINTS:
        return None
    reporter = clean(_typed(fields.get("reporting-mta")) or fields.get("user-agent"), 200)
    address = _address(fields.get("original-rcpt-to"))
    found = RecipientReport(address, address, COMPLAINT, "", f"Feedback-Type: {kind}")
    envelope_id = clean(fields.get("original-envelope-id"), 100)
    return ParsedReport(stamps, reporter, (found,), envelope_id, is_in_free_text=not address)


def _stamps(parts: Sequence[Part]) -> Stamps:
    """The Message-ID and X-PRX-Attempt of the returned mail.

    The report contains the whole mail or its header, as a part of its own, as a file of another type or within text.
    """
    returned = _first(parts, (*HEADER_TYPES, *MAIL_TYPES))
    if returned is None:
        files = (part for part in parts if part.content_type in _ANY_TYPES and stated_filename(part))
        octets = (charsets.cut(part.octets()[0], _MAX_LOOKED_AT) for part in files)
        found = (free_text.stamps_in(charsets.decode_text(each)[0].replace("\r\n", "\n")) for each in octets)
        in_text = (free_text.stamps_in(each) for each in free_text.texts(parts))
        return next((each for each in (*found, *in_text) if each != Stamps()), Stamps())
    header = tree.read_headers(returned.octets()[0].lstrip())
    return Stamps(clean(header.get("message-id"), 998), clean(header.get("x-prx-attempt"), 64))
