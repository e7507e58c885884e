"""Queues a mail that a program submitted. Each recipient gets it once, however often it is submitted.

The mail's Message-ID is the idempotency key. A client that got no reply submits the same mail again, and a client with
many recipients divides them among several transactions with one Message-ID. So each submission makes a row for those
recipients that no earlier row of this Message-ID has.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError
from django.utils.translation import gettext

from mailbox.db import statements
from mailbox.errors import StorageError
from mailbox.mime.message import ParsedMessage
from mailbox.models import Feature
from mailbox.storage import raw_store
from mailbox.storage.raw_store import StoredRaw
from outbox.compose import senders, submitted_mail, suppression
from outbox.compose.attachments import MAX_ATTACHMENTS, TOO_LARGE, checked_type
from outbox.compose.create import checked_account
from outbox.compose.new_row import NewRow, StoredFile, write_down
from outbox.compose.send_time import SendTimes
from outbox.compose.submitted_mail import Submitted
from outbox.errors import StorageFailed, ValidationFailed, not_stored
from outbox.models import AttachmentPolicy, OutboxMessage, OutboxRecipient

MOST_ROWS = 100  # of one Message-ID
# Without ORDER BY: for it SQLite would go through all that the account ever sent, in the order of their ids.
_EARLIER = f"""SELECT "id", "status", "request_digest", "idempotency_key" FROM "outbox" WHERE "account_id" = %s
AND "idempotency_key" IN ({", ".join(["%s"] * MOST_ROWS)})"""  # noqa: S608
TRIES = 5  # when several programs submit the same mail concurrently


def submit(account_id: int, given: Submitted, *, user: User | None, program: str, now: datetime) -> int:
    """Queue a submitted mail and return the pk of its row. The row and the mail's bytes are durable on return.

    program: its name, for the activity. Raises OutboxError; after StorageFailed the same call may succeed later.
    """
    try:
        account = checked_account(account_id, Feature.EMAIL_SEND)
        frozen, parsed = submitted_mail.frozen(
            given, account.email, now=now, aliases=senders.own_addresses(account)[1:]
        )
        asked = raw_store.digest_of(submitted_mail.with_crlf(given.content))
        files = _checked_files(parsed)
        for _ in range(TRIES):
            known = _EarlierSubmission(account.pk, frozen.message_id, asked)
            missing = tuple(each for each in frozen.recipients if each[1] not in known.recipients)
            if not missing:
                return known.answer()
            suppression.check(account, [spec for _kind, spec in missing], may_be_overridden=False)
            unindexed: list[StoredRaw] = []
            digest = raw_store.save_batch([frozen.mime], now=now, prove=True, unindexed=unindexed)[0]
            new = NewRow(
                frozen=replace(frozen, recipients=missing),
                digest=digest,
                unindexed=unindexed,
                times=SendTimes(now),
                files=files,
                user=user,
                idempotency_key=known.next_key,
                request_digest=asked,
                detail=program,
            )
            try:
                return write_down(account, new, now)
            except IntegrityError:  # a concurrent submission with this Message-ID took the key
                if known.next_key is None:
                    raise
        raise StorageFailed(gettext("This mail is being submitted by several programs at once: try again."))
    except (StorageError, DatabaseError) as error:
        raise not_stored(error) from error


class _EarlierSubmission:
    """The rows that were submitted under this Message-ID before. Raises ValidationFailed if they are another mail."""

    def __init__(self, account_id: int, message_id: str, asked: str) -> None:
        self.recipients: set[str] = set()
        self.next_key: str | None = None
        self._rows: list[tuple[int, str]] = []
        if not message_id:
            return
        stem = f"smtp:{raw_store.digest_of(message_id.encode())}"
        keys = [f"{stem}:{number}" for number in range(MOST_ROWS)]
        taken = set()
        for pk, status, digest, key in sorted(statements.rows(_EARLIER, [account_id, *keys])):
            if digest != asked:
                raise ValidationFailed(
                    gettext(
                        "This Message-ID was used before, for another mail (outbox %(number)s): a new mail needs a "
                        "Message-ID of its own."
                    )
                    % {"number": pk}
                )
            self._rows.append((pk, status))
            taken.add(key)
        if len(self._rows) == MOST_ROWS:
            raise ValidationFailed(gettext("This mail was submitted too many times, each time to others."))
        # Not keys[len(rows)]: retention may have removed an earlier row than those that are left.
        self.next_key = next(key for key in keys if key not in taken)
        if self._rows:
            found = OutboxRecipient.objects.filter(outbox_id__in=[pk for pk, _status in self._rows])
            self.recipients.update(found.values_list("address", flat=True))

    def answer(self) -> int:
        """The pk of the newest row. Raises ValidationFailed if a person cancelled one: that mail will not be sent."""
        cancelled = next((pk for pk, status in self._rows if status == OutboxMessage.Status.CANCELLED), None)
        if cancelled is not None:
            raise ValidationFailed(
                gettext("This mail (outbox %(number)s) was cancelled by a person and is not sent.")
                % {"number": cancelled}
            )
        return self._rows[-1][0]


def _checked_files(parsed: ParsedMessage) -> list[StoredFile]:
    """The attachments, checked against the same policy as those of mail written here. Raises ValidationFailed."""
    if not parsed.attachments:
        return []
    policy = AttachmentPolicy.current()
    if len(parsed.attachments) > MAX_ATTACHMENTS:
        raise ValidationFailed(gettext("At most %(number)s attachments go in one mail.") % {"number": MAX_ATTACHMENTS})
    files = []
    for each in parsed.attachments:
        try:
            content_type = checked_type(each.content_type, policy)
        except ValidationFailed as error:
            raise ValidationFailed(f"{error}: {each.content_type}") from None
        if each.size > policy.max_size_bytes:
            raise ValidationFailed(TOO_LARGE)
        files.append(StoredFile(each.filename[:255], content_type, each.size, each.digest))
    return files
