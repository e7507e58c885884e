"""OAuth 2.0 for mailboxes: obtains a grant (`OAuthGrant`: the tokens of one account) and keeps its access token valid.

Ways to obtain a grant: `sign_in.begin`, `sign_in.returned` and `exchange.finish` (authorization code, RFC 6749 4.1,
with PKCE, RFC 7636), `device` (RFC 8628), `device.direct_grant` (client credentials, RFC 6749 4.4; service accounts,
RFC 7523). Before each connection, `refresh.ensure_fresh` renews the access token where necessary; afterwards
`Account.imap_endpoint()` and `smtp_endpoint()` hold a valid one.

`providers`, `protocol`, `id_token` and `client` use no tables. A provider's answer is read as one of three: tokens;
"a person must sign in" (`invalid_grant` and similar codes); every other answer means "ask again later".
"""
