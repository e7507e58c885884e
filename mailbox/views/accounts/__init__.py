"""Pages of accounts: the list and one account, adding, importing and signing in, folders, feature flags."""
