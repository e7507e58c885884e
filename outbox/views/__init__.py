"""The pages of sending, thin: each asks outbox.api or a form, and a template shows the answer.

`writing/` a mail and its drafts, `lists/` the tabs and what is done to many rows, `mail/` the page of one mail and its
buttons, `attachments/` both ways. Beside them: which rows a person may see (`visible_rows`), how a row is shown
(`row_view`, `status`, `sentences`, `who_says_so`), and what stands on an account's page.
"""
