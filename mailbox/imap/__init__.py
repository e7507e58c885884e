"""Speaks IMAP with one server: dataclasses in, dataclasses out; no models, no queries.

Way in: `session.ImapSession.open(endpoint)`, then `select`, `fetch`, `listing`, `idle`. Every failure leaves as an
error of `mailbox.errors`. The only package that knows imapclient and imaplib.

RFC 3501 (IMAP4rev1), 2177 (IDLE), 2342 (NAMESPACE), 2971 (ID), 6154 (SPECIAL-USE), 7162 (CONDSTORE, QRESYNC),
8474 (OBJECTID), XOAUTH2.
"""
