"""What the mailbox tells whoever listens; it never imports a listener."""

from django.dispatch import Signal

# Sent after the commit that stored them: account_id (int), pks (list of Message pks, new or found again).
messages_stored = Signal()
# Sent by a worker that has tried to deliver mail, after the commits of what came of it.
delivery_ended = Signal()
# Sent after the commit of other credentials or another server: account_id (int). What was held back may go on.
credentials_changed = Signal()
# Sent after the commit of a ConnectionTest that a worker is to run: test_id (int).
connection_test_asked = Signal()
# Asked, not told: how many mails of each of these accounts wait to be sent? account_ids (collection of int). A receiver
# answers with a dict of those that have some.
waiting_mail_asked = Signal()
# Asked, not told: what else belongs to a conversation? account_id (int), pks (of its Messages), message_ids (set of
# str, without angle brackets: those of its mails and those they refer to). A receiver answers with a list of
# mailbox.messages.conversations.ConversationMessage.
conversation_asked = Signal()
# Asked, not told: how does sending go for these accounts? account_ids (collection of int), midnight (datetime, when
# "today" began), is_list (bool). A receiver answers with a dict of mailbox.accounts.outbox_figures.OutboxFigures.
outbox_figures_asked = Signal()
# Asked, not told: the subjects of these mails of the outbox? pks (collection of int). A receiver answers with a dict:
# key -> (account's key, subject).
outbox_subjects_asked = Signal()
