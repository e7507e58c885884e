"""The IMAP client: takes and returns dataclasses; uses no models and runs no queries.

Start with `session.ImapSession`; `idle.IdleSession` waits for push. The other modules hold single commands and the
parsing of their responses. Every failure is raised as an error of `mailbox.errors`. No other package imports imapclient
or imaplib.

RFC 3501 (IMAP4rev1), 2177 (IDLE), 2342 (NAMESPACE), 2971 (ID), 6154 (SPECIAL-USE), 7162 (CONDSTORE, QRESYNC),
8474 (OBJECTID), XOAUTH2.
"""
