"""Reads a message's bytes into fields, body and attachments: pure, bounded, raises nothing.

Way in: `message.parse(raw)`. The only package that knows mail-parser (addresses and dates).

RFC 5322 (message format), 2045 to 2047 (MIME), 2231 (parameters), 6532 (UTF-8 headers), 5545 (iCalendar),
MS-OXTNEF (winmail.dat).
"""
