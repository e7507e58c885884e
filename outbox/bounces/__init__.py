"""Reads delivery reports and ties them to the row and the recipient they are about.

Way in: `matching.read`. RFC 3464 (DSN), 3462 (multipart/report), and the forms of servers that write neither.
"""
