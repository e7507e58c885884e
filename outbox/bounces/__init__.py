"""Reads delivery reports and complaints, and finds the outbox row and the recipient of each.

Way in: `matching.read_message`; `matching.catch_up` is the sweep for messages that were missed.

RFC 3464 (DSN), 3462 (multipart/report), 5965 (complaints), and the free text of servers that use none of these.
"""
