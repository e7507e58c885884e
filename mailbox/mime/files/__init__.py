"""Formats of files within mail: what holds other files is opened, and an invitation is read. Pure, bounded.

Way in: `containers.opened` (all that is opened, as parts), over `tnef` (winmail.dat), `smime` (signed-data),
`embedded_files` (uuencode and BinHex within a text) and `binhex`; `icalendar.read` (invitations).
"""
