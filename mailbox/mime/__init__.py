"""Reads a message's bytes into fields, body and attachments: pure, bounded, raises nothing.

Way in: `message.parse(raw)`. The only package that knows mail-parser (addresses and dates). In the order of a parse:

- tree: `tree`, `tree_reader`, `part` (MIME parts by their boundaries), `damaged` (what is missing is guessed);
- header: `header_block` (lines), `header_fields`, `parameters` (RFC 2231), `message_ids`, `dates`, `filenames`;
- addresses: `addresses`, over `address_scanner` (RFC 5322) and `address_syntax` (RFC 5321, IDNA 2008);
- text: `transfer_encoding`, `base64_content`, `part_text`; its charset by `charsets`, `charset_labels`, `japanese`;
- which part is the body: `body_parts`, `body`, `html_text` (HTML as words);
- attachments: `attachment_digest`, and what holds other files: `containers`, `embedded_files` (uuencode), `binhex`,
  `tnef` (winmail.dat), `smime` (signed-data), `icalendar` (invitations).

RFC 5322 (message format), 2045 to 2047 (MIME), 2231 (parameters), 6532 (UTF-8 headers), 5545 (iCalendar),
MS-OXTNEF (winmail.dat).
"""
