"""Django's admin for the tables of mail coming in. Importing this registers all of them."""

from mailbox.admin import accounts, internals, records, users

__all__ = ["accounts", "internals", "records", "users"]
