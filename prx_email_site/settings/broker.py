"""Settings of the queue (docs/operations.md, "Two machines and more")."""

from __future__ import annotations

from prx_email_site import environment as env


def broker_address(address: str) -> str:
    """The address as it is given, if it can be read; "": the database is the queue. Raises SettingError."""
    if address:
        from prx_email_site import redis_address  # not loaded where the database is the queue

        try:
            redis_address.connect(address)
        except redis_address.AddressUnusable as error:
            raise env.SettingError(f"PRX_EMAIL_BROKER_URL: {error}") from None
    return address
