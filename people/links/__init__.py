"""Links that set a password or confirm an address: invitations, forgotten passwords, another address of one's own.

A link is signed and stored nowhere (`tokens`). It goes to its reader by mail, where the outbox puts it in at the moment
of sending (`mails`, outbox.compose.private_part), or an administrator copies it from a page that shows it once. `pages`
open it; `forgotten` answers whoever forgot a password, on a worker, so that the page says and takes the same for every
address; `own_email` is the change of an address. All mails go out from one account, `site_mail`, which an administrator
chooses and which is never fetched; without one, links are copied.
"""
