"""The pages of people for administrators of all accounts: list, roles, switching users off, rules of signing in."""
