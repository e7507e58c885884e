"""Reads a message's bytes into fields, body and attachments: pure, bounded, raises nothing.

Way in: `message.parse(raw)`. The only package that knows mail-parser (dates). In the order of a parse:

- tree: `tree`, `tree_reader`, `part` (MIME parts by their boundaries), `damaged` (what is missing is guessed);
- header: `header_block` (lines), `header_fields`, `parameters` (RFC 2231), `message_ids`, `dates`, `filenames`;
- addresses: the package `addresses` (RFC 5322, RFC 5321, IDNA 2008);
- text: `transfer_encoding`, `base64_content`, `part_text`; the package `charsets` (labels, encoded words, detection);
- which part is the body: `body_parts`; what a person reads of it: `readable_text`, `html_text` (HTML as words);
- attachments: `attachment_digest`; the package `files` opens them (winmail.dat, S/MIME, uuencode, invitations).

RFC 5322 (message format), 2045 to 2047 (MIME), 2231 (parameters), 6532 (UTF-8 headers), 5545 (iCalendar),
MS-OXTNEF (winmail.dat).
"""
