"""One operation of the API as a row of the table in `operations`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.models import Scope

READ, SEND, OPERATE, ADMINISTER, PEOPLE = Scope.READ, Scope.SEND, Scope.OPERATE, Scope.ADMINISTER, Scope.PEOPLE


@dataclass(frozen=True)
class Operation:
    """What an operation asks for.

    `of`: what it is about: rows of one "account"; "everything", which needs token and role for all accounts; or a
    "list" of what the token sees. `also`: further scopes that this body needs.
    """

    method: str
    path: str
    body: Any = None
    scope: Scope = READ
    of: str = "account"
    also: tuple[Scope, ...] = ()
