"""Reads address lists, received and typed: the one reader of the product. Pure, bounded, linear in the text's length.

    read(text)         of received mail. Nothing is dropped and nothing is raised: what is no address is kept as it
                       stands, as local recipients are ("root"), so that a list of what was read says all that came.
    read_typed(text)   of what a person typed or pasted: an item for each, with its Mailbox as SMTP takes it, or with
                       the Problem that keeps it from being sent to. Separators are commas, semicolons and lines.
    canonical(address) one address checked for the envelope (RFC 5321; domain by IDNA 2008); raises AddressError.
    shown(mailboxes)   a list as a person reads it, and as both readers take it back.
    same(address)      the key by which two spellings of one mailbox are equal.

RFC 5322 section 3.4 and 4.4 (address lists, groups, comments, what old programs wrote), RFC 2047 (encoded names),
RFC 6068 (mailto:). What people write beside them is read where it is plain what is meant: `a@x; b@y`,
`Last, First <a@x>`, `Dr. J. Smith <a@x>`, `a@x <a@x>`, `<<a@x>>`, `Ann <a@x`, `'a@x'`.

`lists` reads them, over `scanner` (cuts a list into items) and `items` (what one says); `syntax` checks one address.
"""

from mailbox.mime.addresses.items import Mailbox, same
from mailbox.mime.addresses.lists import AddressProblem, Typed, read, read_typed, shown
from mailbox.mime.addresses.syntax import AddressError, canonical

__all__ = ["AddressError", "AddressProblem", "Mailbox", "Typed", "canonical", "read", "read_typed", "same", "shown"]
