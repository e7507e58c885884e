"""What the database raises when it, or the way to it, is in trouble, and not what was asked of it."""

from __future__ import annotations

from django.db import InterfaceError, InternalError, OperationalError

# InternalError: a PostgreSQL that ended the transaction for its own limits (SQLSTATE class 25: a worker that slept in
# it for longer than idle_in_transaction_session_timeout). The next try finds a fresh connection.
DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError)
