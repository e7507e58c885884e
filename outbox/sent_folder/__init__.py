"""The outbox's work in an account's Sent folder: a copy of what was sent, a look for what is uncertain.

Way in: `copy.make_copies`, `lookup.look`. The copy is the only thing this project writes to an IMAP server.
"""
