"""Parses address lists, received and typed; all code of this product uses it. Pure, bounded, linear in time.

    read(text)         parses a field of received mail. Drops nothing and raises nothing: an item that is no address
                       is kept as text, like a local recipient ("root"), so that the result shows the whole field.
    read_typed(text)   parses a list that a person typed or pasted. Each item has a Mailbox with a valid address, or
                       an AddressProblem. Separators are commas, semicolons and line ends.
    canonical(address) checks one address for the SMTP envelope (RFC 5321; domain by IDNA 2008); raises AddressError.
    shown(mailboxes)   writes a list for display, which both parsers can read again.
    same(address)      a key that is equal for different spellings of one address.
    spellings(address) the forms in which it may be written: its domain in Unicode, and in ASCII (RFC 5890).

RFC 5322 sections 3.4 and 4.4 (address lists, groups, comments, obsolete forms), RFC 2047 (encoded names), RFC 6068
(mailto:). Other forms are read where their meaning is clear: `a@x; b@y`, `Last, First <a@x>`, `Dr. J. Smith <a@x>`,
`a@x <a@x>`, `<<a@x>>`, `Ann <a@x`, `'a@x'`.

`lists` has both parsers. They use `scanner` (splits a list into items), `items` (item to mailboxes) and `syntax`
(checks one address).
"""

from mailbox.mime.addresses.items import Mailbox, same
from mailbox.mime.addresses.lists import AddressProblem, Typed, read, read_typed, shown
from mailbox.mime.addresses.syntax import AddressError, canonical, spellings

__all__ = [
    "AddressError",
    "AddressProblem",
    "Mailbox",
    "Typed",
    "canonical",
    "read",
    "read_typed",
    "same",
    "shown",
    "spellings",
]
