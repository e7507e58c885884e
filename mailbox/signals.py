"""What the mailbox tells whoever listens; it never imports a listener."""

from django.dispatch import Signal

# Sent after the commit that stored them: account_id (int), pks (list of Message pks, new or found again).
messages_stored = Signal()
