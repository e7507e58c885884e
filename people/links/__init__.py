"""Links that set a password or confirm an address: invitations, forgotten passwords, a change of one's own address.

A link is signed and stored nowhere (`tokens`, `confirmations`). It is sent by mail, and the outbox inserts it only when
it sends (`mails`, outbox.compose.private_part); or an administrator copies it from a page that shows it once.

`pages`: the pages that links open, and those that ask for links. `forgotten`: requests for forgotten passwords, which a
worker answers, so that the page's text and duration are the same for every address. `own_email`: the change of one's
own address. `site_mail`: the account that sends all these mails; an administrator chooses it, and it is never synced.
Without one, links are copied.
"""
