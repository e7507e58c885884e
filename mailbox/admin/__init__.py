"""Django's admin for the tables of mail coming in. Importing this registers all of them."""

from mailbox.admin import accounts, grants, internals, records

__all__ = ["accounts", "grants", "internals", "records"]
