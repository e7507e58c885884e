"""Expected failures of the outbox. Each code calls for a different reaction of the caller."""

from __future__ import annotations

import logging
from enum import StrEnum

from django.db import DatabaseError
from django.utils.translation import gettext

from mailbox.db.lock_timeout import in_words
from mailbox.errors import StorageError
from mailbox.logs import event

logger = logging.getLogger(__name__)
MOST_LOGGED = 500  # characters of what a database says


class ErrorCode(StrEnum):
    """The codes of ApiError, and of `error_code` in an outbox row."""

    VALIDATION = "Validation"  # change the request
    FEATURE_DISABLED = "FeatureDisabled"  # switch it on, or resume it
    NETWORK = "Network"  # wait; it is tried again
    PROVIDER = "Provider"  # read the server's words
    STORAGE = "Storage"  # mend the database or the disk


class OutboxError(Exception):
    """An expected failure; str(error) is a sentence for a person that says what to do."""

    code: ErrorCode = ErrorCode.VALIDATION


class ValidationFailed(OutboxError):
    """The request cannot be accepted as it is."""


class ChangedMeanwhile(ValidationFailed):
    """The row has changed since the person saw it; nothing was done."""


class FeatureDisabled(OutboxError):
    """Sending, or the requested feature, is switched off or paused."""

    code = ErrorCode.FEATURE_DISABLED


class StorageFailed(OutboxError):
    """The mail could not be saved, or its stored bytes are missing."""

    code = ErrorCode.STORAGE


def not_stored(error: StorageError | DatabaseError) -> StorageFailed:
    """The exception for a new mail that could not be saved; nothing of it was. Logs the database's message."""
    if isinstance(error, StorageError):
        again = gettext("Try again.")
        reason = f"{str(error).rstrip('.')}. {again}"
    else:
        event(logger, "mail_not_stored", logging.ERROR, error=f"{type(error).__name__}: {error}"[:MOST_LOGGED])
        reason = in_words(error)
    return StorageFailed(gettext("The mail could not be stored and was not sent: %(reason)s") % {"reason": reason})
