"""The display of a sender in lists: the name if there is one. Pure."""

from __future__ import annotations


def name_first(sender: str) -> str:
    """The name in `Ann <ann@example.com>`; the whole text if there is no name.

    The whole text also if the name contains an @: otherwise `"bank@example.com" <evil@example.net>` would appear in
    lists as the bank.
    """
    name, angle, _address = sender.rpartition("<")
    name = name.strip().strip('"').strip()
    return name if angle and name and "@" not in name and "\uff20" not in name else sender
