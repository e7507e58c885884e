"""Sign-in at the company's OpenID Connect provider: `protocol` on the wire, `decisions` who gets in, `pages` the way.

django-allauth does state, PKCE and the requests; the nonce (OpenID Connect Core 1.0, 3.1.2.1) and the rule that
userinfo speaks of the ID token's person (5.3.2) are checked here. The roles for all accounts are those of the
provider's groups at each sign-in. Roles for some accounts are given here and stay.
"""
