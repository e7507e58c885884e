"""Work in an account's Sent folder: appends copies of sent mail, and searches it for mail whose outcome is uncertain.

Way in: `copy.make_copies`, `lookup.look`. The copies are the only thing that this project writes to an IMAP server.
"""
