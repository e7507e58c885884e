"""The pages of sending. Views are thin: they call outbox.api or a form, and a template shows the result.

`writing/`: a mail and its drafts. `lists/`: the tabs, and actions on many mails. `mail/`: one mail's page and buttons.
`attachments/`: of received and of sent mail. Beside them: which rows a user may see (`visible_rows`), how a row is
shown (`row_view`, `status`, `sentences`, `who_says_so`), and parts of an account's page.
"""
