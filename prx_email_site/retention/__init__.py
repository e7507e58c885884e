"""What is removed because of its age, by rules.

kinds       what each kind of rule means: which rows, and how they go
holds       what legal holds keep
sweep       the removal: daily, in small batches, by workers
settings    rules of the environment (PRX_EMAIL_RETENTION)
pages       the page: rules with a preview, holds
ends        how every table ends, or why it is kept

Nothing is removed without a rule, but for what docs/operations.md lists (mailbox.deletions).
"""
