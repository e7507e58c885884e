"""Saves drafts. A save is conditional on the version that its page was opened with, so no tab overwrites another.

A page also numbers its saves: when it is left, it sends one without waiting for the response to the save before.
Between two saves of one page the higher number wins, whichever arrives first.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailbox.db.lock_timeout import is_locked_by_another
from mailbox.errors import StorageError
from mailbox.models import Account, AccountAlias
from mailbox.storage import raw_store
from outbox.compose.attachments import MAX_ATTACHMENTS, AttachmentContent
from outbox.compose.text_formats import as_plain
from outbox.errors import StorageFailed, ValidationFailed
from outbox.models import Draft, DraftFile, OutboxMessage

logger = logging.getLogger(__name__)
FIELDS = ("to", "cc", "bcc", "subject", "body_text")
LONGEST = {"to": 20_000, "cc": 20_000, "bcc": 20_000, "subject": 2_000, "body_text": 2_000_000}  # characters
MAX_DRAFTS = 500  # of one person
MAX_BYTES = 200 * 1024 * 1024  # of the files of one person's drafts
CHANGED_ELSEWHERE = _(
    "This draft was changed in another tab or on another device, so this page does not overwrite it. Open the other "
    "version from the list of drafts, or go on here and save this as a draft of its own."
)


NOT_STORED = _(
    "The draft could not be stored: the database or the disk refuses, or does not answer. Your text stands here: keep "
    "this page open, and save again in a moment. If it stays so, tell an administrator."
)


@dataclass(frozen=True)
class PageSave:
    """The page that saves, and the number of this save among those of that page. key: "" if no script numbers them."""

    key: str = ""
    number: int = 0

    def comes_after(self, version: int) -> Q:
        """The condition of a draft that this save may overwrite.

        It was last saved by an earlier save of the same page, or by another page and has `version` still.
        """
        if not self.key:
            return Q(version=version)
        return Q(page=self.key, page_save__lt=self.number) | Q(version=version) & ~Q(page=self.key)

    def is_overtaken_by(self, draft: Draft) -> bool:
        """Whether the draft has this save already, or a later one of the same page."""
        return bool(self.key) and draft.page == self.key and draft.page_save >= self.number

    def goes_on_from(self, draft: Draft) -> bool:
        """Whether the draft's last save is an earlier one of the same page."""
        return bool(self.key) and draft.page == self.key and draft.page_save < self.number


class DraftConflict(Exception):
    """Another page saved a newer version. str() is the sentence for the page."""


@dataclass(frozen=True)
class FormContents:
    """The values of the form, valid or not."""

    texts: dict[str, str]
    account: Account | None = None
    alias: AccountAlias | None = None
    send_at: str = ""
    text_format: str = ""
    start: str = ""
    kept: list[str] | None = None
    files: Sequence[AttachmentContent] = field(default=())
    refused: list[str] = field(default_factory=list)  # uploads that the policy refused, as the form names them

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to save: no text in any field, no file, and no refused file."""
        return not any(text.strip() for text in self.texts.values()) and not self.files and not self.refused

    def values(self) -> dict[str, Any]:
        """The columns of the draft's row; texts without NUL, which PostgreSQL refuses, and cut at LONGEST."""
        texts = {name: self.texts.get(name, "").replace("\0", "")[: LONGEST[name]] for name in FIELDS}
        return {
            **texts,
            "account": self.account,
            "alias": self.alias,
            "send_at": self.send_at[:40],
            "text_format": self.text_format[:10],
            "start": self.start[:40],
            "kept": self.kept,
            "refused": self.refused,
        }


def of_user(user: User) -> QuerySet[Draft]:
    """The user's drafts. Nobody else sees them."""
    return Draft.objects.filter(user=user)


def save(
    user: User,
    typed: FormContents,
    *,
    key: uuid.UUID,
    pk: int | None,
    version: int,
    page: PageSave = PageSave(),
) -> Draft:
    """Save a draft; without `pk`, make a new one. If a later save of its page was first, only the files are added.

    Raises DraftConflict; ValidationFailed for too many drafts or files; StorageFailed if the disk or database fails;
    RawSwept if the bytes of the files were swept meanwhile. Then nothing is saved; after RawSwept, call it again.
    """
    contents = [file.content for file in typed.files]
    try:
        digests = raw_store.save_batch(contents, prove=True) if contents else []  # before their rows
        with transaction.atomic():
            draft = _changed(user, typed, pk, version, page) if pk else _made(user, typed, key, version, page)
            _attach(draft, typed.files, digests)
    except raw_store.RawSwept:
        raise
    except (StorageError, DatabaseError) as error:
        if is_locked_by_another(error):  # the page that says "busy" preserves the form
            raise
        logger.exception("draft_not_stored")
        raise StorageFailed(NOT_STORED) from error
    return draft


def _changed(user: User, typed: FormContents, pk: int, version: int, page: PageSave) -> Draft:
    written = {**typed.values(), "page": page.key, "page_save": page.number}
    may_follow = of_user(user).filter(page.comes_after(version), pk=pk)
    is_written = may_follow.update(**written, version=F("version") + 1, updated_at=timezone.now()) == 1
    draft = of_user(user).filter(pk=pk).first()
    if draft is None or not (is_written or page.is_overtaken_by(draft)):
        raise DraftConflict(CHANGED_ELSEWHERE)
    return draft


def _made(user: User, typed: FormContents, key: uuid.UUID, version: int, page: PageSave) -> Draft:
    # A click and the timer may both send a page's first save: with one `key` they make one draft.
    written = {**typed.values(), "page": page.key, "page_save": page.number}
    draft, is_new = Draft.objects.get_or_create(key=key, user=user, defaults=written)
    if of_user(user).count() > MAX_DRAFTS:
        raise ValidationFailed(
            ngettext(
                "You have %(number)s draft: send or discard some first.",
                "You have %(number)s drafts: send or discard some first.",
                MAX_DRAFTS,
            )
            % {"number": MAX_DRAFTS}
        )
    return draft if is_new else _changed(user, typed, draft.pk, version, page)


def _attach(draft: Draft, files: Sequence[AttachmentContent], digests: Sequence[str]) -> None:
    if not files:
        return
    rows = [
        DraftFile(
            draft=draft,
            filename=file.filename,
            content_type=file.content_type,
            size=len(file.content),
            raw_digest=digest,
        )
        for file, digest in zip(files, digests, strict=True)
    ]
    raw_store.reference(digests, timezone.now())
    DraftFile.objects.bulk_create(rows)
    used = DraftFile.objects.filter(draft__user=draft.user).aggregate(all=Sum("size"))["all"] or 0
    if used > MAX_BYTES:
        raise ValidationFailed(
            gettext("The files of your drafts are more than 200 MB together: send or discard some first.")
        )
    if draft.files.count() > MAX_ATTACHMENTS:
        raise ValidationFailed(
            ngettext(
                "A mail has at most %(number)s attachment.",
                "A mail has at most %(number)s attachments.",
                MAX_ATTACHMENTS,
            )
            % {"number": MAX_ATTACHMENTS}
        )
    if draft.kept is not None:  # files attached just now count as ticked
        draft.kept = [*draft.kept, *(file.form_key for file in rows)]
        Draft.objects.filter(pk=draft.pk).update(kept=draft.kept)


def forget_sent(user: User, *, key: uuid.UUID, pk: int | None, version: int, page: PageSave) -> None:
    """Delete the draft of a mail that was created, unless another page has saved a newer version of it."""
    mine = of_user(user)
    if pk:
        mine.filter(page.comes_after(version), pk=pk).delete()
    elif page.key:  # sent before the response to the first save told the page the draft's pk
        mine.filter(key=key, page=page.key, page_save__lt=page.number).delete()


def forget_overtaken(draft: Draft, sent: OutboxMessage) -> bool:
    """Delete the draft of a page's first save that arrived after its mail was created; returns whether it did so.

    Only if the mail contains all of the draft: a person may have gone back to the page and written something else.
    """
    if draft.refused or draft.files.exists() or not _all_stands_in(draft, sent):
        return False
    return of_user(draft.user).filter(pk=draft.pk, version=draft.version).delete()[0] > 0


def _all_stands_in(draft: Draft, sent: OutboxMessage) -> bool:
    """Whether the mail contains the draft's addresses, subject and lines; a line of the mail may be longer."""
    recipients = f"{sent.to} {sent.cc} {sent.bcc}".lower()
    lines = [*sent.body_text.replace("\r\n", "\n").split("\n"), sent.subject]
    written = as_plain(draft.text_format, draft.body_text)
    addresses = _words(f"{draft.to} {draft.cc} {draft.bcc}")
    typed = [*written.split("\n"), draft.subject]
    return all(each in recipients for each in addresses) and all(
        any(line.startswith(each) for line in lines) for each in typed
    )


def _words(addresses: str) -> list[str]:
    return re.sub(r"[,;<>\"]", " ", addresses.lower()).split()


def discard(user: User, pk: int, version: int) -> bool:
    """Delete a draft if it still has the version that its writer confirmed; returns whether it did.

    The bytes of its files are removed by the sweep of the raw store once nothing refers to them.
    """
    return of_user(user).filter(pk=pk, version=version).delete()[0] > 0
