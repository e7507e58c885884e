"""Turns a request into one row of the outbox with its frozen mail. Workers deliver it later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError
from django.utils.translation import gettext

from mailbox import features
from mailbox.db import statements
from mailbox.errors import StorageError
from mailbox.mime import message as mime_message
from mailbox.models import Account, AuditEntry, Feature, Message, Transport
from mailbox.storage import raw_store
from mailbox.storage.raw_store import StoredRaw
from outbox.compose import build as compose_build
from outbox.compose import replies, senders, suppression
from outbox.compose.addresses import Address, checked_spec
from outbox.compose.attachments import AttachmentContent, AttachmentInput, AttachmentStore, read_attachments
from outbox.compose.build import FrozenMessage, RepliedMessage, Request, Threading
from outbox.compose.new_row import NewRow, StoredFile, write_down
from outbox.compose.send_time import send_times
from outbox.errors import FeatureDisabled, ValidationFailed, not_stored
from outbox.models import AttachmentPolicy, DeliveryAttempt, OutboxAttachment

NO_SMTPUTF8 = "The server does not offer SMTPUTF8"  # how outbox.smtp begins this error
FAILURE_MODES = ("network", "provider")


@dataclass(frozen=True)
class SendRequest:
    """The arguments of one call of send, reply or queue. A reply has `parent_pk` or `in_reply_to_message_id`."""

    mail: Request
    attachments: Sequence[AttachmentInput] = ()
    failure_mode: str | None = None
    idempotency_key: str | None = None
    in_reply_to_message_id: str | None = None
    parent_pk: int | None = None
    user: User | None = None
    send_at: datetime | None = None
    undo_seconds: int = 0  # see send_times
    sender: str = ""  # one of the account's addresses; "": its main address
    send_suppressed: bool = False  # also to addresses on the account's suppression list; recorded in the activity
    private_part: str = ""  # "maker:key", see outbox.compose.private_part
    also_noted: AuditEntry | None = None  # saved in the transaction of a new row; its pk is set then


def create(account_id: int, request: SendRequest, *, now: datetime) -> int:
    """Create the outbox row, once for each idempotency key, and return its pk. Raises OutboxError."""
    account = checked_account(account_id, _feature_of(request))
    check_drill(request.failure_mode, request.user)
    key = _checked_key(request.idempotency_key)
    files = read_attachments(request.attachments, AttachmentPolicy.current(), _store()) if request.attachments else []
    files.sort(key=lambda file: not file.content_id)  # as in the MIME: pictures of the HTML before other files
    asked = request_digest(request, files) if key else None
    if key and (known := _row_of_key(account, key, asked)):
        return known
    times = send_times(request.send_at, request.undo_seconds, now)
    parent = _find_parent(account, request)
    mail, threading = _answering(request.mail, parent)
    frozen = _frozen(account, request.sender, mail, files, times.send_at or now, threading)
    if frozen.needs_smtputf8:
        check_smtputf8(account, now)
    allowed = _allowed_recipients(account, request, [spec for _kind, spec in frozen.recipients])
    try:
        unindexed: list[StoredRaw] = []  # filled by save_batch; the bytes are durable before the row refers to them
        digest = raw_store.save_batch([frozen.mime], now=now, prove=True, unindexed=unindexed)[0]
        new = NewRow(
            frozen=frozen,
            digest=digest,
            times=times,
            files=[_stored(each) for each in files],
            parent=parent,
            user=request.user,
            failure_mode=request.failure_mode or "",
            idempotency_key=key,
            request_digest=asked,
            private_part=request.private_part,
            detail=allowed or (AuditEntry.OWN_MAIL if request.mail.auto_submitted else ""),
            unindexed=unindexed,
            also_noted=request.also_noted,
        )
        return write_down(account, new, now)
    except IntegrityError:
        if key and (known := _row_of_key(account, key, asked)):  # a concurrent call with the same key was first
            return known
        raise
    except (StorageError, DatabaseError) as error:
        raise not_stored(error) from error


def _frozen(
    account: Account,
    address: str,
    mail: Request,
    files: Sequence[AttachmentContent],
    now: datetime,
    threading: Threading,
) -> FrozenMessage:
    chosen, mail_from = senders.sender_of(account, address), checked_spec(gettext("The account"), account.email)
    sender = Address(chosen.name, checked_spec(gettext("From"), chosen.address))
    return compose_build.freeze(mail, sender, files, now=now, threading=threading, mail_from=mail_from)


def _allowed_recipients(account: Account, request: SendRequest, addresses: Sequence[str]) -> str:
    """Check the recipients against the account's suppression list.

    Raises ValidationFailed for a listed address, unless the request overrides the list or is the site's own mail, for
    which its user asked. Then returns the text for the activity that names the listed addresses; "" if there are none.
    """
    if not request.send_suppressed and not request.private_part:
        suppression.check(account, addresses, may_be_overridden=True)
        return ""
    listed = suppression.overridden(account, addresses)
    return f"although on the list of addresses not written to: {', '.join(listed)}"[:500] if listed else ""


OFFER_IS_KNOWN = timedelta(days=1)  # a server's EHLO keywords may change: after this time a mail is tried again
LOOKED_AT = 50  # the account's newest mails that need SMTPUTF8


def check_smtputf8(account: Account, now: datetime) -> None:
    """Raise ValidationFailed if the newest attempt of a mail that needs SMTPUTF8 (RFC 6531) found it not offered."""
    newest = account.outbox.filter(needs_smtputf8=True).order_by("-pk").values("pk")[:LOOKED_AT]
    attempts = DeliveryAttempt.objects.filter(outbox__in=newest)
    last = attempts.filter(finished_at__gt=now - OFFER_IS_KNOWN, outcome__gt="").order_by("-pk").first()
    if last is not None and last.reply.startswith(NO_SMTPUTF8):
        raise ValidationFailed(
            gettext(
                "An address of this mail has letters beyond ASCII before its @, and the server of %(account)s does not "
                "take such addresses (it offers no SMTPUTF8). Use another address of this person."
            )
            % {"account": account.email}
        )


def _feature_of(request: SendRequest) -> Feature:
    is_answer = request.parent_pk is not None or request.in_reply_to_message_id is not None
    return Feature.EMAIL_REPLY if is_answer else Feature.EMAIL_SEND


# What a new row needs of its account. By the ORM this look-up would be a tenth of a mail's time.
_OF_ACCOUNT = statements.RowReader(Account, "id", "email", "display_name", "smtp_id", "sent_copy", "send_enabled")
_OF_TRANSPORT = statements.RowReader(Transport, "id", "host")
_ACCOUNT = f"""SELECT {_OF_ACCOUNT.columns}, {_OF_TRANSPORT.columns}
FROM "accounts" INNER JOIN "transports" ON "transports"."id" = "accounts"."smtp_id" WHERE "accounts"."id" = %s"""  # noqa: S608


def checked_account(account_id: int, feature: Feature) -> Account:
    """The account, if it may send and has the feature. Raises ValidationFailed or FeatureDisabled."""
    found = statements.rows(_ACCOUNT, [account_id])
    if not found:
        raise ValidationFailed(
            gettext("There is no account %(number)s: add it first, or give another.") % {"number": account_id}
        )
    account = _OF_ACCOUNT.read(found[0])
    account.smtp = _OF_TRANSPORT.read(found[0][len(_OF_ACCOUNT.names) :])
    check_may_send(account, feature)
    return account


def check_may_send(account: Account, feature: Feature) -> None:
    """Raise FeatureDisabled if the account's sending is switched off or it does not have the feature."""
    if not account.send_enabled:
        raise FeatureDisabled(
            gettext("Sending is switched off for %(account)s: switch it on in the account's settings.")
            % {"account": account.email}
        )
    check_feature(feature, account)


def check_feature(feature: Feature, account: Account) -> None:
    """Raise FeatureDisabled if the account does not have the feature."""
    if words := features.refusal(feature, account):
        raise FeatureDisabled(words)


def check_drill(failure_mode: str | None, user: User | None) -> None:
    """Raise ValidationFailed unless the drill exists and the user may ask for it. user: None for the command line."""
    if not failure_mode:
        return
    if failure_mode not in FAILURE_MODES:
        raise ValidationFailed(
            gettext("failure_mode is network or provider, not %(failure_mode)s.") % {"failure_mode": repr(failure_mode)}
        )
    if user is not None and not user.is_staff:
        raise ValidationFailed(gettext("Only staff may ask for a drill: leave failure_mode out."))


def _checked_key(key: str | None) -> str | None:
    if key is not None and (not 0 < len(key) <= 200 or "\x00" in key):
        raise ValidationFailed(gettext("An idempotency key has 1 to 200 characters."))
    return key


_OF_KEY = 'SELECT "id", "request_digest" FROM "outbox" WHERE "account_id" = %s AND "idempotency_key" = %s'


def _row_of_key(account: Account, key: str, asked: str | None) -> int | None:
    """The pk of the row that was created under this key, or None. Raises ValidationFailed if it is another mail."""
    found: list[tuple[int, str | None]] = statements.rows(_OF_KEY, [account.pk, key])
    if not found:
        return None
    known = found[0]
    if known[1] and known[1] != asked:
        raise ValidationFailed(
            gettext(
                "The idempotency key was used before, for another mail (outbox %(number)s): a new mail needs a new key."
            )
            % {"number": known[0]}
        )
    return known[0]


def request_digest(request: SendRequest, files: Sequence[AttachmentContent]) -> str:
    """The SHA-256 (hex) of a request. Equal calls have equal digests, whatever the source of their attachments."""
    mail, send_at = request.mail, request.send_at
    words: list[object] = [_listed(mail.to), _listed(mail.cc), _listed(mail.bcc)]
    words += [mail.subject, mail.body_text, mail.body_html, request.in_reply_to_message_id, request.parent_pk]
    words.append(send_at.isoformat() if send_at else None)
    words += [request.sender] if request.sender else []  # without one, the digest is that of former versions
    words.append([(each.filename, each.content_type, raw_store.digest_of(each.content)) for each in files])
    return raw_store.digest_of(json.dumps(words, default=str).encode("utf-8"))


def _listed(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _stored(file: AttachmentContent) -> StoredFile:
    return StoredFile(file.filename, file.content_type, len(file.content), raw_store.digest_of(file.content))


def _store() -> AttachmentStore:
    return AttachmentStore(settings.ATTACHMENT_STORE_ENABLED, settings.ATTACHMENT_STORE_DIR)


def _find_parent(account: Account, request: SendRequest) -> Message | None:
    message_id = request.in_reply_to_message_id
    if request.parent_pk is not None:
        found = Message.objects.filter(account=account, pk=request.parent_pk).first()
    elif message_id is None:
        return None
    elif not message_id.strip() or "\x00" in message_id:
        raise ValidationFailed(gettext("Give the Message-ID of the message to answer."))
    else:
        found = Message.objects.with_message_id(account.pk, message_id).first()
    if found is None:
        raise ValidationFailed(
            gettext("%(account)s has no message %(message)s: sync, then try again.")
            % {"account": account.email, "message": message_id or request.parent_pk}
        )
    return found


def _answer_to(message: Message) -> str:
    letter = replies.OriginalMessage(
        subject=message.subject,
        sender=message.sender or message.sender_address,
        reply_to=message.reply_to,
        recipients=message.recipients,
        cc=message.cc,
        text="",
        at=message.received_at,
    )
    return replies.answer_to(letter, senders.own_addresses(message.account))


def _answering(mail: Request, message: Message | None) -> tuple[Request, Threading]:
    """Complete a reply: its threading, and recipient and subject if the request has none. Raises ValidationFailed."""
    if message is None:
        return mail, Threading()
    parent = RepliedMessage(
        message_id=message.message_id,
        subject=message.subject,
        sender=message.sender,
        sender_address=message.sender_address,
        reply_to=message.reply_to,
        references_header=message.references_header,
        in_reply_to=message.in_reply_to,
    )
    to = mail.to or _answer_to(message) or compose_build.reply_recipients(parent)
    return replace(mail, to=to, subject=mail.subject or compose_build.reply_subject(parent.subject)), (
        compose_build.reply_threading(parent)
    )


def attachment_bytes(attachment: OutboxAttachment) -> bytes:
    """The decoded bytes of an outgoing attachment, from the frozen mail. Raises raw_store.RawMissing or IndexError."""
    frozen = raw_store.map_raw(attachment.outbox.mime_digest)[0]
    return mime_message.attachment_bytes(frozen, attachment.position, attachment.digest)
