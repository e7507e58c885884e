"""Every secret that is stored encrypted, of any app, and which of them no key opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Model

from mailbox import credentials


@dataclass(frozen=True)
class StoredSecret:
    """A secret as it is stored: the Fernet token, in `column` of `row`, there under `key` where that is JSON."""

    row: Model
    column: str
    token: str
    key: str = ""
    owner_needs: str = ""

    def needs(self) -> str:
        """What has to be done, and for whom, when no key opens it."""
        of_row = getattr(self.row, "when_key_is_lost", None)
        return self.owner_needs or (str(of_row()) if of_row else f"{self.row}: enter its secret again")

    def rotate(self) -> bool:
        """Encrypt it with the first key; False when it changed meanwhile and is left alone.

        Raises credentials.DecryptionFailed. Conditional on what the column held: a person may be saving a new one now.
        """
        fresh = credentials.rotate(self.token)
        before = getattr(self.row, self.column)
        after = {**before, self.key: fresh} if self.key else fresh
        rows = type(self.row)._base_manager
        return rows.filter(pk=self.row.pk, **{self.column: before}).update(**{self.column: after}) == 1

    def is_current(self) -> bool:
        """Whether the first key encrypted it."""
        return credentials.is_current(self.token)


# What other apps keep elsewhere than in columns named `encrypted_…`.
elsewhere: list[Callable[[], Iterator[StoredSecret]]] = []


def stored_secrets() -> Iterator[StoredSecret]:
    """Each secret of any app, table by table; the names of such columns begin as those of a transport."""
    for model in apps.get_models():
        for field in model._meta.fields:
            if field.name.startswith("encrypted_"):
                rows = model._base_manager.exclude(**{field.name: None}).exclude(**{field.name: ""}).order_by("pk")
                yield from (StoredSecret(row, field.name, getattr(row, field.name)) for row in rows)
    for known in elsewhere:
        yield from known()


def unopened() -> tuple[int, int]:
    """How many secrets no key of PRX_EMAIL_ENCRYPTION_KEYS opens, and how many there are."""
    closed = total = 0
    for secret in stored_secrets():
        total += 1
        try:
            credentials.decrypt(secret.token)
        except credentials.DecryptionFailed:
            closed += 1
    return closed, total
