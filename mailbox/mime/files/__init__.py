"""File formats in mail: opens containers of other files, and reads invitations. Pure, bounded.

Start with `containers.opened`, which adds the contents of containers as parts, by `tnef` (winmail.dat), `smime`
(signed-data), `embedded_files` (files within a text: uuencode, `binhex`, `yenc`). `icalendar.read` reads invitations.
"""
