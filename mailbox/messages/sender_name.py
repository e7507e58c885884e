"""How a list shows a sender: the name first. Pure."""

from __future__ import annotations


def name_first(sender: str) -> str:
    """Of `Ann <ann@example.com>` the name; the whole where there is none.

    Also the whole where the name looks like an address: `"bank@example.com" <evil@example.net>` would else stand in a
    list as the bank.
    """
    name, angle, _address = sender.rpartition("<")
    name = name.strip().strip('"').strip()
    return name if angle and name and "@" not in name and "\uff20" not in name else sender
