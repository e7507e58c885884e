"""Sign-in at the company's OpenID Connect provider.

`pages`: redirect and callback. `protocol`: requests and the checks of answers. `decisions`: who may sign in, as which
user and with which role. `client`: the HTTP requests.

django-allauth does state, PKCE and the requests; checked here are the nonce (OpenID Connect Core 1.0, 3.1.2.1) and that
userinfo and ID token have the same subject (5.3.2). The role for all accounts follows the provider's groups at each
sign-in. Roles for single accounts are given on this site and stay.
"""
