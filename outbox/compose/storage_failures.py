"""What may go wrong while a frozen mail is read from the raw store and stored again with another header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext

from mailbox.errors import StorageError
from mailbox.storage import out_of_reach, raw_store
from outbox.errors import StorageFailed


@contextmanager
def storage_failures() -> Iterator[None]:
    """Raise StorageFailed, with words for a person, in place of what the raw store raises."""
    try:
        yield
    except raw_store.RawOutOfReach as error:
        out_of_reach.note(error.segment)
        raise StorageFailed(
            gettext("The stored mail is out of reach on this host: try again in a moment. Nothing was changed.")
        ) from error
    except (raw_store.RawMissing, StorageError) as error:
        raise StorageFailed(
            gettext("The mail could not be written anew: %(error)s Try again.") % {"error": error}
        ) from error
