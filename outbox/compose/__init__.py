"""Turns a request to send into a frozen mail: MIME, envelope and attachments, written once.

Way in: `create.create`; `build` makes the MIME, `replies` a reply's recipients and text, `drafts` saves unsent mail.

RFC 5322, 2045 to 2047, 2231, 3676 (quoting).
"""
