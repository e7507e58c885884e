"""Django's SESSION_ENGINE: sessions in the database, each with its user, so that a user's sessions can be listed and
ended.

See "Extending database-backed session engines" in Django's documentation. No page shows a session key: whoever has it
is signed in.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from people.models import Session


class SessionStore(DatabaseStore):
    """Copies user, address, browser and times from the session's data into columns of its row."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """The row of a session to be saved, with its columns filled from `data`."""
        row = super().create_model_instance(data)
        assert isinstance(row, Session)
        row.user_id = int(data["_auth_user_id"]) if data.get("_auth_user_id") else None
        row.address, row.agent = data.get("address", ""), data.get("agent", "")
        row.began_at, row.seen_at = data.get("began_at"), data.get("seen_at")
        return row
