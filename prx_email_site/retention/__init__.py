"""What is removed because of its age, by rules.

kinds       what each kind of rule means: which rows, and how they go
sweep       the removal: daily, in small batches, by workers
schedule    when it runs; rules of the environment (PRX_EMAIL_RETENTION) are read by prx_email_site.settings.retention
changes     what administrators change, with its entry of the activity
pages       the page: rules with a preview, holds
api         the same over the HTTP API
ends        how every table ends, or why it is kept

What legal holds keep is in mailbox.messages.legal_holds and outbox.views.legal_holds.

Nothing is removed without a rule, but for what docs/operations.md lists (mailbox.deletions).
"""
