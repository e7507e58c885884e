"""Operations on accounts: settings and tests, folders, further addresses, guessed servers, feature flags."""
