"""Waits for new mail in IMAP IDLE (RFC 2177), in a process of its own: `manage.py idle`.

Way in: `listener.Listener`. Watchers (asyncio tasks) make no database queries; the listener queues a sync for each
account with news.
"""
