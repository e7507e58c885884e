"""Reads delivery reports and ties them to the row and the recipient they are about.

Way in: `matching.read_message`; the sweep over what was missed: `matching.catch_up`.

RFC 3464 (DSN), 3462 (multipart/report), and the forms of servers that write neither.
"""
