"""Parses a message's bytes into header fields, body and attachments. Pure, with bounded time and memory.

Start with `message.parse(raw)`, which raises nothing. No other package imports mail-parser (used in `dates`). In the
order of a parse:

- tree: `tree`, `tree_reader`, `boundary_lines`, `part` (MIME parts), `damaged` (guesses missing boundaries);
- header: `header_block`, `field_lines`, `header_fields`, `parameters` (RFC 2231), `message_ids`, `dates`, `filenames`;
- addresses: the package `addresses` (RFC 5322, RFC 5321, IDNA 2008);
- text: `transfer_encoding`, `base64_content`, `part_text`; the package `charsets` (labels, encoded words, detection);
- choice of the body's parts: `body_parts`; the body as plain text: `readable_text`, `html_text` (text of HTML);
- attachments: `attachment_digest`; the package `files` opens containers (winmail.dat, S/MIME, uuencode, invitations).

RFC 5322 (message format), 2045 to 2047 (MIME), 2231 (parameters), 6532 (UTF-8 headers), 5545 (iCalendar),
MS-OXTNEF (winmail.dat).
"""
