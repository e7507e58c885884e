"""Signals by which mailbox informs and asks other apps, which it must not import."""

from django.dispatch import Signal

# Sent after the commit that stored them: account_id (int), pks (list of Message pks, new or found again).
messages_stored = Signal()
# Sent by a worker that has tried to deliver mail, after the outcomes were committed.
delivery_ended = Signal()
# Sent after the commit of new credentials or another server: account_id (int). Work that was held back may go on.
credentials_changed = Signal()
# Sent after the commit of a ConnectionTest that a worker has to run: test_id (int).
connection_test_asked = Signal()
# A question: how many mails are waiting to be sent? account_ids (collection of int). A receiver returns a dict: account
# pk -> number, without accounts that have none.
waiting_mail_asked = Signal()
# A question: the rows of the outbox, for a subquery? A receiver returns an outbox.models.messages.OutboxQuerySet.
outbox_rows_asked = Signal()
# A question: what else belongs to a conversation? account_id (int), pks (of its Messages), message_ids (set of str,
# without angle brackets: of its mails and of those they refer to). A receiver returns a list of
# mailbox.messages.conversations.ConversationMessage.
conversation_asked = Signal()
# A question: the sending figures of accounts? account_ids (collection of int), midnight (datetime, begin of "today"),
# is_list (bool). A receiver returns a dict: account pk -> mailbox.accounts.outbox_figures.OutboxFigures.
outbox_figures_asked = Signal()
