"""OAuth 2.0 for mailboxes: how an account comes to a grant, and how the grant's access token stays good.

The way in: `sign_in.begin` and `sign_in.finish` (authorization code, RFC 6749 4.1, with PKCE, RFC 7636), `device`
(RFC 8628), `direct` (client credentials, RFC 6749 4.4; service accounts, RFC 7523); then `refresh.ensure_fresh` before
each connection, after which `Account.imap_endpoint()` and `smtp_endpoint()` hold an access token that is good.

`providers`, `protocol`, `id_token` and `client` know no tables. An answer of a provider means one of three things:
tokens; "a person must sign in" (`invalid_grant` and its kin); or "ask again later", which is all the rest.
"""
