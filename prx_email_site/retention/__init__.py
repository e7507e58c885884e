"""Retention: removes rows by age, according to rules. Legal holds exempt mail.

kinds       the kinds of rules: which rows each removes, and how
sweep       the removal: daily, in small batches, by workers
records     the daily removal of records that have no other end
schedules   when both run; rules of the environment (PRX_EMAIL_RETENTION) are read by prx_email_site.settings.retention
changes     changes of rules and holds by administrators, with their audit entries
forms       the forms of a rule and of a hold
pages       the page: rules with a preview, holds
api         the same as the page, over the HTTP API
table_ends  for each table, how its rows are removed or why they are kept

mailbox.messages.legal_holds and outbox.legal_holds say which rows a legal hold keeps.

Without a rule nothing is removed by age, except the rows that docs/operations.md lists (mailbox.deletions).
"""
