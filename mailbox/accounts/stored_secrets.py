"""Lists all encrypted secrets in the database, of any app, and finds those that no key decrypts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Model

from mailbox import credentials


@dataclass(frozen=True)
class StoredSecret:
    """One encrypted secret: the Fernet token in `column` of `row`; for a JSON column, the one under `key`."""

    row: Model
    column: str
    token: str
    key: str = ""
    owner_needs: str = ""

    def needs(self) -> str:
        """What a person has to do when no key decrypts it."""
        of_row = getattr(self.row, "when_key_is_lost", None)
        return self.owner_needs or (str(of_row()) if of_row else f"{self.row}: enter its secret again")

    def rotate(self) -> bool:
        """Encrypt it anew with the first key. Raises credentials.DecryptionFailed.

        The UPDATE is conditional on the old value, as a person may be saving a new secret: False if it had changed.
        """
        fresh = credentials.rotate(self.token)
        before = getattr(self.row, self.column)
        after = {**before, self.key: fresh} if self.key else fresh
        rows = type(self.row)._base_manager
        return rows.filter(pk=self.row.pk, **{self.column: before}).update(**{self.column: after}) == 1

    def is_current(self) -> bool:
        """Whether the first key encrypted it."""
        return credentials.is_current(self.token)


# Other apps add functions here that yield the secrets they keep elsewhere than in columns named `encrypted_…`.
elsewhere: list[Callable[[], Iterator[StoredSecret]]] = []


def stored_secrets() -> Iterator[StoredSecret]:
    """All secrets, table by table: columns whose names begin with `encrypted_`, and what `elsewhere` adds."""
    for model in apps.get_models():
        for field in model._meta.fields:
            if field.name.startswith("encrypted_"):
                rows = model._base_manager.exclude(**{field.name: None}).exclude(**{field.name: ""}).order_by("pk")
                yield from (StoredSecret(row, field.name, getattr(row, field.name)) for row in rows)
    for known in elsewhere:
        yield from known()


def unopened() -> tuple[int, int]:
    """(secrets that no key of PRX_EMAIL_ENCRYPTION_KEYS decrypts, secrets in all)."""
    closed = total = 0
    for secret in stored_secrets():
        total += 1
        try:
            credentials.decrypt(secret.token)
        except credentials.DecryptionFailed:
            closed += 1
    return closed, total
